"""The headers of answers are those that docs/s3-compat.md says are sent, operation by operation."""

import collections
import datetime
import os
import pathlib

import pytest
from botocore.exceptions import ClientError

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs/s3-compat.md"
# By a form, with what no header can hold, and of a policy: stories of their own.
TOLD_ELSEWHERE = {"x-amz-missing-meta", "x-amz-storage-class"}


def documented():
    """header -> operations that send it; and the headers that are never sent."""
    section = PAGE.read_text().split("\n## Response headers\n")[1].split("\n## ")[0]
    sent, never = collections.defaultdict(set), set()
    for line in section.splitlines():
        if line.startswith("| `"):
            names, operations, status, _ = [cell.strip() for cell in line.strip("|").split(" | ")]
            for name in names.replace("`", "").lower().split(", "):
                if status == "sent":
                    sent[name] |= set(operations.split(", "))
                else:
                    never.add(name)
    return sent, never


def known(name, names):
    """The name that the page has for a header that was seen."""
    return "x-amz-meta-" if name.startswith("x-amz-meta-") else name if name in names else None


@pytest.fixture
def seen(s3):
    """operation -> headers of its answers."""
    seen = collections.defaultdict(set)

    def note(http_response, model, **_):
        seen[model.name] |= {name.lower() for name in http_response.headers}

    s3.meta.events.register("after-call.s3", note)
    yield seen
    s3.meta.events.unregister("after-call.s3", note)


def refused(call, **arguments):
    with pytest.raises(ClientError):
        call(**arguments)


def test_answers_have_the_headers_that_the_page_says(s3, seen):
    bucket = "headers-of-answers"
    s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    s3.head_bucket(Bucket=bucket)
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [{
        "ID": "all", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 30},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3}}]})
    s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    algorithms = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]
    key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": os.urandom(32)}
    source_key = {f"CopySource{name}": value for name, value in key.items()}
    everything = {
        "ContentType": "text/plain", "CacheControl": "no-store", "ContentDisposition": "inline",
        "ContentEncoding": "identity", "ContentLanguage": "de", "Metadata": {"a": "b"},
        "Expires": datetime.datetime(2040, 1, 1), "Tagging": "a=b"}
    lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockLegalHoldStatus": "ON",
            "ObjectLockRetainUntilDate": datetime.datetime(2040, 1, 1)}

    def read(name, **arguments):
        for call in (s3.get_object, s3.head_object):
            call(Bucket=bucket, Key=name, **arguments)

    for algorithm in algorithms:
        s3.put_object(Bucket=bucket, Key="k", Body=b"data", ChecksumAlgorithm=algorithm,
                      ServerSideEncryption="AES256", **everything)
        read("k", ChecksumMode="ENABLED")
        upload = s3.create_multipart_upload(
            Bucket=bucket, Key="parts", ServerSideEncryption="AES256", ChecksumAlgorithm=algorithm)
        named = {"Bucket": bucket, "Key": "parts", "UploadId": upload["UploadId"]}
        part = s3.upload_part(PartNumber=1, Body=b"data", ChecksumAlgorithm=algorithm, **named)
        s3.list_parts(**named)
        source = {"Bucket": bucket, "Key": "k"}
        s3.upload_part_copy(PartNumber=2, CopySource=source, **named)
        checksum = f"Checksum{algorithm}"
        s3.complete_multipart_upload(MultipartUpload={"Parts": [
            {"PartNumber": 1, "ETag": part["ETag"], checksum: part[checksum]}]}, **named)
    read("k", Range="bytes=1-2")
    read("parts", PartNumber=1)
    s3.put_object(Bucket=bucket, Key="locked", Body=b"x", **lock)
    read("locked")
    s3.put_object(Bucket=bucket, Key="sealed", Body=b"x", **key)
    read("sealed", **key)
    sealed = {"Bucket": bucket, "Key": "sealed"}
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=sealed, **key, **source_key)
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, ServerSideEncryption="AES256")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="sealed", **key)["UploadId"]
    named = {"Bucket": bucket, "Key": "sealed", "UploadId": upload}
    s3.upload_part(PartNumber=1, Body=b"data", **named, **key)
    s3.upload_part_copy(PartNumber=2, CopySource=sealed, **named, **key, **source_key)
    s3.abort_multipart_upload(**named)
    s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ETag"])
    tags = {"Tagging": {"TagSet": [{"Key": "c", "Value": "d"}]}}
    s3.put_object_tagging(Bucket=bucket, Key="k", **tags)
    s3.get_object_tagging(Bucket=bucket, Key="k")
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    s3.delete_object(Bucket=bucket, Key="k")
    refused(s3.get_object, Bucket=bucket, Key="k")
    refused(s3.head_object, Bucket=bucket, Key="k")
    s3.put_bucket_tagging(Bucket=bucket, **tags)
    s3.list_objects_v2(Bucket=bucket)
    s3.list_object_versions(Bucket=bucket)
    s3.list_buckets()

    sent, never = documented()
    names = set(sent) | never
    for operation, headers in seen.items():
        of_it = {known(name, names) for name in headers} - {None}
        assert not of_it & never, operation
        unsaid = {name for name in of_it if operation not in sent[name]}
        # Documents have a type and a length, whatever the operation.
        assert unsaid <= {"content-type", "content-length"}, operation
    missing = {(name, operation) for name, operations in sent.items() for operation in operations
               if name not in TOLD_ELSEWHERE and operation != "PostObject"
               and name not in {known(header, names) for header in seen[operation]}}
    assert not missing, sorted(missing)
