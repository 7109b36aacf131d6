"""Lifecycle rules through boto3: put, read back, told in headers, refused, and followed."""

import datetime
import os
import subprocess
import time

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

import conftest

RULES = [
    {"ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 30}},
    {"ID": "old", "Status": "Enabled", "Filter": {},
     "NoncurrentVersionExpiration": {"NoncurrentDays": 7, "NewerNoncurrentVersions": 3},
     "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2}},
    {"ID": "tagged", "Status": "Disabled",
     "Filter": {"And": {"Prefix": "a/", "Tags": [{"Key": "k", "Value": "v"}],
                        "ObjectSizeGreaterThan": 10, "ObjectSizeLessThan": 1000}},
     "Expiration": {"Date": datetime.datetime(2040, 1, 1, tzinfo=datetime.timezone.utc)}},
    {"ID": "markers", "Status": "Enabled", "Prefix": "m/",
     "Expiration": {"ExpiredObjectDeleteMarker": True}},
]


def code_of(error):
    return (error.value.response["ResponseMetadata"]["HTTPStatusCode"],
            error.value.response["Error"]["Code"])


def test_rules_are_read_as_they_were_put(s3, bucket):
    with pytest.raises(ClientError) as error:
        s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    assert code_of(error) == (404, "NoSuchLifecycleConfiguration")
    put = s3.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": RULES},
        TransitionDefaultMinimumObjectSize="varies_by_storage_class")
    assert put["TransitionDefaultMinimumObjectSize"] == "varies_by_storage_class"
    read = s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    assert read["Rules"] == RULES
    assert read["TransitionDefaultMinimumObjectSize"] == "varies_by_storage_class"

    answer = s3.put_object(Bucket=bucket, Key="logs/1", Body=b"x")
    assert answer["Expiration"].endswith('GMT", rule-id="logs"')
    assert s3.head_object(Bucket=bucket, Key="logs/1")["Expiration"] == answer["Expiration"]
    assert s3.get_object(Bucket=bucket, Key="logs/1")["Expiration"] == answer["Expiration"]
    assert "Expiration" not in s3.put_object(Bucket=bucket, Key="other", Body=b"x")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="up")
    assert upload["AbortRuleId"] == "old"
    assert upload["AbortDate"] > datetime.datetime.now(datetime.timezone.utc)
    listed = s3.list_parts(Bucket=bucket, Key="up", UploadId=upload["UploadId"])
    assert (listed["AbortDate"], listed["AbortRuleId"]) == (upload["AbortDate"], "old")

    s3.delete_bucket_lifecycle(Bucket=bucket)
    with pytest.raises(ClientError) as error:
        s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    assert code_of(error) == (404, "NoSuchLifecycleConfiguration")
    assert "Expiration" not in s3.head_object(Bucket=bucket, Key="logs/1")


def test_whatever_makes_an_object_says_when_it_expires(s3, bucket):
    # By prefix, by tag and by size: what counts is the new object's, not its source's.
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [
        {"ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 30}},
        {"ID": "tagged", "Status": "Enabled", "Filter": {"Tag": {"Key": "a", "Value": "b"}},
         "Expiration": {"Days": 20}},
        {"ID": "big", "Status": "Enabled",
         "Filter": {"And": {"Prefix": "parts/", "ObjectSizeGreaterThan": 5 << 20}},
         "Expiration": {"Days": 10}},
    ]})
    assert "Expiration" not in s3.put_object(Bucket=bucket, Key="source", Body=b"x")

    def copied(key, **more):
        answer = s3.copy_object(Bucket=bucket, Key=key, CopySource=f"{bucket}/source", **more)
        assert answer.get("Expiration") == s3.head_object(Bucket=bucket, Key=key).get("Expiration")
        return answer.get("Expiration", "")

    assert copied("logs/copy").endswith('rule-id="logs"')
    assert copied("copy") == ""
    assert copied("tagged", TaggingDirective="REPLACE", Tagging="a=b").endswith('rule-id="tagged"')
    # One whose bytes are written anew.
    assert copied("logs/sealed", ServerSideEncryption="AES256").endswith('rule-id="logs"')

    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts/1")["UploadId"]
    named = {"Bucket": bucket, "Key": "parts/1", "UploadId": upload}
    sizes = [5 << 20, 1]
    parts = [{"PartNumber": n + 1, "ETag": s3.upload_part(PartNumber=n + 1, Body=b"x" * size, **named)["ETag"]}
             for n, size in enumerate(sizes)]
    done = s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **named)
    assert done["Expiration"].endswith('rule-id="big"')
    assert s3.head_object(Bucket=bucket, Key="parts/1")["Expiration"] == done["Expiration"]
    again = s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **named)
    assert again["Expiration"] == done["Expiration"]
    # What it became is there no more: what is there now is another object.
    s3.put_object(Bucket=bucket, Key="parts/1", Body=b"x")
    assert "Expiration" not in s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **named)


@pytest.mark.parametrize("rule, expected", [
    ({"Filter": {}, "Expiration": {"Days": 0}}, (400, "InvalidArgument")),
    ({"Filter": {}, "Expiration": {"Days": 1}, "ID": "x" * 256}, (400, "InvalidArgument")),
    ({"Filter": {}, "Expiration": {"Date": datetime.datetime(2040, 1, 1, 5)}}, (400, "InvalidArgument")),
    ({"Filter": {}}, (400, "InvalidRequest")),
    ({"Filter": {"Tag": {"Key": "a", "Value": "b"}},
      "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}, (400, "InvalidRequest")),
    ({"Filter": {"Prefix": "a", "Tag": {"Key": "a", "Value": "b"}}, "Expiration": {"Days": 1}},
     (400, "MalformedXML")),
    ({"Expiration": {"Days": 1}}, (400, "MalformedXML")),
    ({"Filter": {}, "Status": "enabled", "Expiration": {"Days": 1}}, (400, "MalformedXML")),
    ({"Filter": {}, "Transitions": [{"Days": 1, "StorageClass": "GLACIER"}]}, (501, "NotImplemented")),
])
def test_what_is_no_rule_is_refused(s3, bucket, rule, expected):
    rules = [{"Status": "Enabled", **rule}]
    with pytest.raises(ClientError) as error:
        s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
    assert code_of(error) == expected


def wait_until(what, holds):
    for _ in range(600):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError(f"not after 60 s: {what}")


def test_rules_are_followed_where_a_day_lasts_a_second(tmp_path, monkeypatch):
    """A server of its own, as somebody would start it who tries rules out."""
    monkeypatch.setenv("HOLDFAST_LIFECYCLE_DAY_SECONDS", "1")
    server = conftest.Holdfast(tmp_path)
    try:
        server.wait_until_ready()
        s3 = boto3.client("s3", endpoint_url=server.endpoint, region_name=conftest.REGION,
                          aws_access_key_id=conftest.ACCESS_KEY,
                          aws_secret_access_key=conftest.SECRET_KEY,
                          config=Config(s3={"addressing_style": "path"}))
        s3.create_bucket(Bucket="short-days")
        s3.put_bucket_versioning(Bucket="short-days", VersioningConfiguration={"Status": "Enabled"})
        s3.put_object(Bucket="short-days", Key="go/1", Body=b"x")
        s3.put_object(Bucket="short-days", Key="stay", Body=b"y")
        s3.create_multipart_upload(Bucket="short-days", Key="go/up")
        rule = {"ID": "all", "Status": "Enabled", "Filter": {"Prefix": "go/"},
                "Expiration": {"Days": 1}, "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}
        s3.put_bucket_lifecycle_configuration(
            Bucket="short-days", LifecycleConfiguration={"Rules": [rule]})

        def only_what_stays():
            page = s3.list_object_versions(Bucket="short-days")
            left = [entry["Key"] for entry in page.get("Versions", []) + page.get("DeleteMarkers", [])]
            uploads = s3.list_multipart_uploads(Bucket="short-days").get("Uploads", [])
            return left == ["stay"] and uploads == []

        wait_until("only what no rule is about is left", only_what_stays)
        assert s3.get_object(Bucket="short-days", Key="stay")["Body"].read() == b"y"
        assert "A LIFECYCLE DAY LASTS 1 SECONDS" in (tmp_path / "log").read_text(errors="replace")
    finally:
        assert server.stop() == 0


def test_a_day_that_is_none_is_refused(tmp_path):
    environment = {**os.environ, "HOLDFAST_LIFECYCLE_DAY_SECONDS": "0"}
    ended = subprocess.run([conftest.BINARY, "serve", "--data", tmp_path / "data"], env=environment,
                           capture_output=True, text=True, timeout=60)
    assert ended.returncode != 0
    assert "HOLDFAST_LIFECYCLE_DAY_SECONDS: 0 is not between 1 and 86400" in ended.stdout + ended.stderr
