"""MinIO's SDK for Python."""

import io
import os
from datetime import timedelta

import pytest
import urllib3
from minio import Minio
from minio.commonconfig import ENABLED, ComposeSource, CopySource
from minio.deleteobjects import DeleteObject
from minio.error import S3Error
from minio.versioningconfig import VersioningConfig

from conftest import ACCESS_KEY, REGION, SECRET_KEY

MIB = 1 << 20


@pytest.fixture
def minio(holdfast):
    return Minio(holdfast.s3, access_key=ACCESS_KEY, secret_key=SECRET_KEY, secure=False,
                 region=REGION)


def read(minio, bucket, key, **options):
    answer = minio.get_object(bucket, key, **options)
    try:
        return answer.read()
    finally:
        answer.close()
        answer.release_conn()


def test_put_get_stat_and_delete(minio, bucket):
    body = os.urandom(200_000)
    put = minio.put_object(bucket, "a/ü b", io.BytesIO(body), len(body),
                           content_type="text/x-test", metadata={"colour": "blue"})
    assert read(minio, bucket, "a/ü b") == body
    assert read(minio, bucket, "a/ü b", offset=100, length=50) == body[100:150]
    stat = minio.stat_object(bucket, "a/ü b")
    assert (stat.size, stat.etag, stat.content_type) == (len(body), put.etag, "text/x-test")
    assert stat.metadata["x-amz-meta-colour"] == "blue"
    minio.remove_object(bucket, "a/ü b")
    with pytest.raises(S3Error) as error:
        minio.stat_object(bucket, "a/ü b")
    assert error.value.code == "NoSuchKey"


def test_a_stream_of_unknown_length(minio, bucket, tmp_path):
    body = os.urandom(23 * MIB + 17)
    minio.put_object(bucket, "streamed", io.BytesIO(body), -1, part_size=5 * MIB)
    assert minio.stat_object(bucket, "streamed").etag.endswith("-5")
    minio.fget_object(bucket, "streamed", str(tmp_path / "down"))
    assert (tmp_path / "down").read_bytes() == body
    minio.fput_object(bucket, "again", str(tmp_path / "down"), part_size=8 * MIB)
    assert read(minio, bucket, "again") == body


def test_copies_and_listings(minio, bucket):
    for number in range(30):
        minio.put_object(bucket, f"list/{number % 3}/{number:02}", io.BytesIO(b"x" * number), number)
    minio.copy_object(bucket, "copied", CopySource(bucket, "list/2/29"))
    assert read(minio, bucket, "copied") == b"x" * 29
    found = [one.object_name for one in minio.list_objects(bucket, prefix="list/")]
    assert found == ["list/0/", "list/1/", "list/2/"]
    found = [one.object_name for one in minio.list_objects(bucket, prefix="list/", recursive=True)]
    assert found == sorted(f"list/{number % 3}/{number:02}" for number in range(30))
    errors = minio.remove_objects(bucket, (DeleteObject(name) for name in found))
    assert not list(errors)
    assert [one.object_name for one in minio.list_objects(bucket)] == ["copied"]


def test_objects_composed_of_others(minio, bucket):
    """Parts are copied inside the server, by range."""
    one, other = os.urandom(6 * MIB), os.urandom(7 * MIB)
    minio.put_object(bucket, "one", io.BytesIO(one), len(one))
    minio.put_object(bucket, "other", io.BytesIO(other), len(other))
    minio.compose_object(bucket, "both", [
        ComposeSource(bucket, "one", offset=1000, length=5 * MIB),
        ComposeSource(bucket, "other")])
    assert read(minio, bucket, "both") == one[1000:1000 + 5 * MIB] + other
    assert minio.stat_object(bucket, "both").etag.endswith("-2")


def test_presigned_urls(minio, bucket):
    put = minio.presigned_put_object(bucket, "signed", expires=timedelta(minutes=1))
    assert urllib3.request("PUT", put, body=b"presigned").status == 200
    get = minio.presigned_get_object(bucket, "signed", expires=timedelta(minutes=1))
    assert urllib3.request("GET", get).data == b"presigned"
    assert urllib3.request("GET", get[:-1] + ("0" if get[-1] != "0" else "1")).status == 403


def test_versions(minio, bucket):
    minio.set_bucket_versioning(bucket, VersioningConfig(ENABLED))
    assert minio.get_bucket_versioning(bucket).status == "Enabled"
    one = minio.put_object(bucket, "k", io.BytesIO(b"one"), 3).version_id
    minio.put_object(bucket, "k", io.BytesIO(b"two"), 3)
    minio.remove_object(bucket, "k")
    assert read(minio, bucket, "k", version_id=one) == b"one"
    listed = list(minio.list_objects(bucket, include_version=True))
    assert [version.is_delete_marker for version in listed].count(True) == 1
    assert len(listed) == 3


def test_buckets(minio):
    minio.make_bucket("made-by-minio")
    assert minio.bucket_exists("made-by-minio") and not minio.bucket_exists("never-made-by-minio")
    assert "made-by-minio" in [one.name for one in minio.list_buckets()]
    minio.remove_bucket("made-by-minio")
    assert not minio.bucket_exists("made-by-minio")
