"""s3cmd: put, get, sync, multipart. Its signed URLs are SigV2, which Holdfast refuses."""

import hashlib
import os
import pathlib
import shutil
import subprocess

import pytest

from conftest import ACCESS_KEY, REGION, SECRET_KEY
from trees import FILES, MIB, make_tree, same_trees

PROGRAM = pathlib.Path("/usr/bin/s3cmd")


@pytest.fixture
def s3cmd(holdfast, tmp_path):
    if not PROGRAM.exists():
        pytest.skip("s3cmd is not installed")
    config = tmp_path / "s3cfg"
    config.write_text(f"""[default]
access_key = {ACCESS_KEY}
secret_key = {SECRET_KEY}
host_base = {holdfast.s3}
host_bucket = {holdfast.s3}
bucket_location = {REGION}
use_https = False
signature_v2 = False
acl_public = False
multipart_chunk_size_mb = 5
""")

    def run(*arguments):
        command = [str(PROGRAM), "--config", str(config), "--no-progress", *map(str, arguments)]
        done = subprocess.run(command, env=holdfast.environment(), capture_output=True, text=True,
                              timeout=300)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        # What it only warns of would go unnoticed.
        assert "WARNING" not in done.stderr and "ERROR" not in done.stderr, done.stderr
        return done.stdout

    return run


def test_put_get_and_list(s3cmd, bucket, tmp_path):
    body = os.urandom(100_000)
    (tmp_path / "up").write_bytes(body)
    s3cmd("put", tmp_path / "up", f"s3://{bucket}/folder/ü name")
    listed = s3cmd("ls", "--list-md5", f"s3://{bucket}/folder/")
    assert hashlib.md5(body).hexdigest() in listed
    assert listed.split()[-2:] == [f"s3://{bucket}/folder/ü", "name"]
    s3cmd("get", f"s3://{bucket}/folder/ü name", tmp_path / "down")
    assert (tmp_path / "down").read_bytes() == body
    s3cmd("cp", f"s3://{bucket}/folder/ü name", f"s3://{bucket}/copy")
    s3cmd("mv", f"s3://{bucket}/copy", f"s3://{bucket}/moved")
    s3cmd("get", f"s3://{bucket}/moved", tmp_path / "moved")
    assert (tmp_path / "moved").read_bytes() == body
    s3cmd("del", f"s3://{bucket}/moved")
    assert "moved" not in s3cmd("ls", f"s3://{bucket}")


def test_an_upload_in_parts(s3cmd, bucket, s3, tmp_path):
    body = os.urandom(12 * MIB + 345)
    (tmp_path / "up").write_bytes(body)
    s3cmd("put", tmp_path / "up", f"s3://{bucket}/big")
    assert s3.head_object(Bucket=bucket, Key="big")["ETag"].endswith('-3"')
    s3cmd("get", f"s3://{bucket}/big", tmp_path / "down")
    assert (tmp_path / "down").read_bytes() == body
    assert "/big" not in s3cmd("multipart", f"s3://{bucket}"), "no upload is left open"


def test_sync_both_ways_and_remove(s3cmd, bucket, s3, tmp_path):
    tree = make_tree(tmp_path / "tree")
    s3cmd("sync", f"{tree}/", f"s3://{bucket}/backup/")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == FILES
    assert "upload:" not in s3cmd("sync", f"{tree}/", f"s3://{bucket}/backup/")
    (tmp_path / "back").mkdir()
    s3cmd("sync", f"s3://{bucket}/backup/", f"{tmp_path}/back/")
    same_trees(tree, tmp_path / "back")
    shutil.rmtree(tree / "sub")
    s3cmd("sync", "--delete-removed", f"{tree}/", f"s3://{bucket}/backup/")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 7
    s3cmd("del", "--recursive", "--force", f"s3://{bucket}")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_buckets(s3cmd, s3):
    s3cmd("mb", "s3://made-by-s3cmd")
    assert "s3://made-by-s3cmd" in s3cmd("ls")
    s3cmd("rb", "s3://made-by-s3cmd")
    assert "made-by-s3cmd" not in [b["Name"] for b in s3.list_buckets()["Buckets"]]
