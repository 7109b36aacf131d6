"""Policies as S3's clients see them: a bucket's location, and the storage class of an object."""

import json
import os
import subprocess
import uuid

import pytest
from botocore.exceptions import ClientError

from conftest import ACCESS_KEY, BINARY, SECRET_KEY

MIB = 1 << 20


def admin(holdfast, *words):
    environment = {**os.environ, "HOLDFAST_ACCESS_KEY": ACCESS_KEY,
                   "HOLDFAST_SECRET_KEY": SECRET_KEY}
    command = [BINARY, "admin", *words, "--json", "--endpoint", f"http://{holdfast.admin}"]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


@pytest.fixture
def policy(holdfast):
    name = f"cold-{uuid.uuid4().hex[:8]}"
    admin(holdfast, "policy", "create", name, "--copies", "2")
    yield name
    admin(holdfast, "policy", "delete", name)


def bucket_policy(holdfast, bucket):
    buckets = admin(holdfast, "bucket", "list")["buckets"]
    return next(b["policy"] for b in buckets if b["name"] == bucket)


@pytest.mark.parametrize("written", ["{}", "policy:{}"])
def test_a_location_constraint_names_a_policy(holdfast, s3, policy, written):
    name = f"test-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={
        "LocationConstraint": written.format(policy)})
    assert bucket_policy(holdfast, name) == policy
    s3.delete_bucket(Bucket=name)


def test_an_unknown_location_is_refused(s3):
    with pytest.raises(ClientError) as error:
        s3.create_bucket(Bucket="nowhere", CreateBucketConfiguration={
            "LocationConstraint": "policy:nowhere"})
    assert error.value.response["Error"]["Code"] == "InvalidLocationConstraint"


def test_a_storage_class_is_a_policy_and_is_shown_everywhere(s3, bucket, policy):
    storage_class = policy.upper().replace("-", "_")
    s3.put_object(Bucket=bucket, Key="cold", Body=b"x" * 100_000, StorageClass=storage_class)
    s3.put_object(Bucket=bucket, Key="plain", Body=b"y", StorageClass="STANDARD")
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "plain"},
                   StorageClass=storage_class)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts", StorageClass=storage_class)
    listed = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [one["StorageClass"] for one in listed] == [storage_class]
    etag = s3.upload_part(Bucket=bucket, Key="parts", PartNumber=1, UploadId=upload["UploadId"],
                          Body=os.urandom(5 * MIB))["ETag"]
    s3.complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload["UploadId"],
                                 MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    for key in ["cold", "copy", "parts"]:
        # AWS says nothing of STANDARD, and the name of any other class.
        assert s3.head_object(Bucket=bucket, Key=key)["StorageClass"] == storage_class
        assert s3.get_object(Bucket=bucket, Key=key)["StorageClass"] == storage_class
        known = s3.get_object_attributes(Bucket=bucket, Key=key, ObjectAttributes=["StorageClass"])
        assert known["StorageClass"] == storage_class
    assert "StorageClass" not in s3.head_object(Bucket=bucket, Key="plain")
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert {one["Key"]: one["StorageClass"] for one in listed} == {
        "cold": storage_class, "copy": storage_class, "parts": storage_class, "plain": "STANDARD"}


@pytest.mark.parametrize("call", ["put", "copy", "upload"])
def test_a_class_that_is_no_policy_is_refused(s3, bucket, call):
    s3.put_object(Bucket=bucket, Key="source", Body=b"x")
    with pytest.raises(ClientError) as error:
        if call == "put":
            s3.put_object(Bucket=bucket, Key="k", Body=b"x", StorageClass="GLACIER")
        elif call == "copy":
            s3.copy_object(Bucket=bucket, Key="k", StorageClass="GLACIER",
                           CopySource={"Bucket": bucket, "Key": "source"})
        else:
            s3.create_multipart_upload(Bucket=bucket, Key="k", StorageClass="GLACIER")
    assert error.value.response["Error"]["Code"] == "InvalidStorageClass"
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
