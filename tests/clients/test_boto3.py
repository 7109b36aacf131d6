"""boto3 with its defaults: what most programs that speak S3 do."""

import hashlib
import io
import os
import urllib.error
import urllib.request

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

MIB = 1 << 20


def code_of(error):
    return (error.value.response["ResponseMetadata"]["HTTPStatusCode"],
            error.value.response["Error"]["Code"])


@pytest.mark.parametrize("size", [0, 1, 4096, 65536, 65537, 524288, 524289, 3 * MIB + 7])
def test_what_is_put_is_got(s3, bucket, size):
    body = os.urandom(size)
    put = s3.put_object(Bucket=bucket, Key="k", Body=body, ContentType="text/plain",
                        Metadata={"colour": "blue"})
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == body
    assert (got["ContentLength"], got["ContentType"]) == (size, "text/plain")
    assert got["Metadata"] == {"colour": "blue"}
    head = s3.head_object(Bucket=bucket, Key="k")
    assert (head["ETag"], head["ContentLength"]) == (put["ETag"], size)


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums_come_back(s3, bucket, algorithm):
    if algorithm in ("CRC32C", "CRC64NVME"):
        pytest.importorskip("awscrt", reason="botocore computes it only with awscrt")
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"checked", ChecksumAlgorithm=algorithm)
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    name = f"Checksum{algorithm}"
    assert put[name] and put[name] == head[name]
    assert head["ChecksumType"] == "FULL_OBJECT"


def test_a_wrong_checksum_is_refused(s3, bucket):
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", ChecksumSHA256="A" * 43 + "=")
    assert code_of(error) == (400, "BadDigest")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_upload_fileobj_in_parts(s3, bucket):
    body = os.urandom(27 * MIB + 12345)
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    s3.upload_fileobj(io.BytesIO(body), bucket, "big", Config=config)
    head = s3.head_object(Bucket=bucket, Key="big")
    assert head["ETag"].endswith('-6"')
    target = io.BytesIO()
    s3.download_fileobj(bucket, "big", target, Config=config)
    assert target.getvalue() == body
    part = s3.get_object(Bucket=bucket, Key="big", PartNumber=2)
    assert part["PartsCount"] == 6
    assert part["Body"].read() == body[5 * MIB:10 * MIB]
    ranged = s3.get_object(Bucket=bucket, Key="big", Range="bytes=5242870-5242890")
    assert ranged["ContentRange"] == f"bytes 5242870-5242890/{len(body)}"
    assert ranged["Body"].read() == body[5242870:5242891]
    last = s3.get_object(Bucket=bucket, Key="big", Range="bytes=-5")
    assert last["Body"].read() == body[-5:]


def test_parts_are_listed_and_an_upload_can_be_aborted(s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    for number in (1, 2, 3):
        s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=number, Body=b"x")
    parts = s3.get_paginator("list_parts").paginate(
        Bucket=bucket, Key="k", UploadId=upload, PaginationConfig={"PageSize": 2})
    assert [p["PartNumber"] for page in parts for p in page["Parts"]] == [1, 2, 3]
    uploads = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [(u["Key"], u["UploadId"]) for u in uploads] == [("k", upload)]
    s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload)
    with pytest.raises(ClientError) as error:
        s3.list_parts(Bucket=bucket, Key="k", UploadId=upload)
    assert code_of(error) == (404, "NoSuchUpload")


def test_presigned_urls(s3, bucket):
    put = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "a b/ü"},
                                    ExpiresIn=60)
    request = urllib.request.Request(put, data=b"presigned", method="PUT")
    assert urllib.request.urlopen(request).status == 200
    get = s3.generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": "a b/ü",
                              "ResponseContentType": "text/x-override"}, ExpiresIn=60)
    answer = urllib.request.urlopen(get)
    assert answer.read() == b"presigned"
    assert answer.headers["content-type"] == "text/x-override"
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(get.replace("X-Amz-Expires=60", "X-Amz-Expires=61"))
    assert error.value.code == 403


def test_versions(s3, bucket):
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"before")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    one = s3.put_object(Bucket=bucket, Key="k", Body=b"one")["VersionId"]
    two = s3.put_object(Bucket=bucket, Key="k", Body=b"two")["VersionId"]
    marker = s3.delete_object(Bucket=bucket, Key="k")
    assert marker["DeleteMarker"]
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=bucket, Key="k")
    assert code_of(error) == (404, "NoSuchKey")
    for version, body in [("null", b"before"), (one, b"one"), (two, b"two")]:
        got = s3.get_object(Bucket=bucket, Key="k", VersionId=version)
        assert got["Body"].read() == body
    listed = s3.list_object_versions(Bucket=bucket)
    assert [v["VersionId"] for v in listed["Versions"]] == [two, one, "null"]
    assert [m["VersionId"] for m in listed["DeleteMarkers"]] == [marker["VersionId"]]
    s3.delete_object(Bucket=bucket, Key="k", VersionId=marker["VersionId"])
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"two"


def test_conditional_writes(s3, bucket):
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*")
    assert code_of(error) == (412, "PreconditionFailed")
    s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch=first)
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key="k", Body=b"3", IfMatch=first)
    assert code_of(error) == (412, "PreconditionFailed")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"2"
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=bucket, Key="k", IfMatch=first)
    assert code_of(error)[0] == 412
    now = s3.head_object(Bucket=bucket, Key="k")["ETag"]
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=bucket, Key="k", IfNoneMatch=now)
    assert code_of(error)[0] == 304


def test_copies(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"copy me", Metadata={"n": "1"})
    s3.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "a"})
    s3.copy({"Bucket": bucket, "Key": "a"}, bucket, "c/ü +")
    s3.delete_object(Bucket=bucket, Key="a")
    for key in ("b", "c/ü +"):
        got = s3.get_object(Bucket=bucket, Key=key)
        assert (got["Body"].read(), got["Metadata"]) == (b"copy me", {"n": "1"})
    s3.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "b"},
                   MetadataDirective="REPLACE", Metadata={"n": "2"})
    assert s3.head_object(Bucket=bucket, Key="b")["Metadata"] == {"n": "2"}


def test_listings_page_through(s3, bucket):
    keys = sorted(f"{folder}/{n:03}" for folder in ("a", "b/c", "ü") for n in range(25))
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    for operation in ("list_objects", "list_objects_v2"):
        pages = list(s3.get_paginator(operation).paginate(
            Bucket=bucket, PaginationConfig={"PageSize": 10}))
        assert len(pages) == 8
        assert [one["Key"] for page in pages for one in page["Contents"]] == keys
        pages = list(s3.get_paginator(operation).paginate(
            Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 1}))
        found = [one["Prefix"] for page in pages for one in page.get("CommonPrefixes", [])]
        assert found == ["a/", "b/", "ü/"]
    found = s3.list_objects_v2(Bucket=bucket, StartAfter="b/c/020", Prefix="b/")
    assert [one["Key"] for one in found["Contents"]] == [f"b/c/{n:03}" for n in range(21, 25)]


def test_deletes_in_one_request(s3, bucket):
    keys = [f"k{n}" for n in range(30)] + ["<&>", "ü", "a b"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    answer = s3.delete_objects(Bucket=bucket, Delete={
        "Objects": [{"Key": key} for key in keys + ["was never there"]]})
    assert sorted(d["Key"] for d in answer["Deleted"]) == sorted(keys + ["was never there"])
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize("key", ["../up", "/a", "a//b", "a/./b", "é🦀", "a\tb", "%2F%", "?a=b#c"])
def test_keys_are_just_bytes(s3, bucket, key):
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]


def test_errors_say_what_is_wrong(s3, bucket):
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=bucket, Key="nothing")
    assert code_of(error) == (404, "NoSuchKey")
    with pytest.raises(ClientError) as error:
        s3.head_object(Bucket=bucket, Key="nothing")
    assert code_of(error)[0] == 404
    with pytest.raises(ClientError) as error:
        s3.put_bucket_policy(Bucket=bucket, Policy="{}")
    assert code_of(error) == (501, "NotImplemented")
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key="k", Body=b"", ServerSideEncryption="aws:kms")
    assert code_of(error) == (501, "NotImplemented")
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    with pytest.raises(ClientError) as error:
        s3.delete_bucket(Bucket=bucket)
    assert code_of(error) == (409, "BucketNotEmpty")


def test_buckets(s3, bucket):
    assert bucket in [b["Name"] for b in s3.list_buckets()["Buckets"]]
    assert s3.head_bucket(Bucket=bucket)["BucketRegion"] == "us-east-1"
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None


def test_a_body_that_can_not_be_rewound(s3, bucket):
    """A pipe: boto3 neither knows its length nor can read it twice."""
    class Pipe:
        def __init__(self):
            self.rest = b"y" * (9 * MIB)

        def read(self, size=-1):
            size = len(self.rest) if size < 0 else size
            taken, self.rest = self.rest[:size], self.rest[size:]
            return taken

    s3.upload_fileobj(Pipe(), bucket, "streamed")
    assert s3.get_object(Bucket=bucket, Key="streamed")["Body"].read() == b"y" * (9 * MIB)
