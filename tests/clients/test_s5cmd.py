"""s5cmd: many transfers at once, sync, pipes and wildcards."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from trees import FILES, MIB, make_tree, same_trees


@pytest.fixture
def s5cmd(holdfast):
    program = pathlib.Path(sys.executable).parent / "s5cmd"

    def run(*arguments, given=None):
        command = [str(program), "--endpoint-url", holdfast.endpoint, *map(str, arguments)]
        done = subprocess.run(command, env=holdfast.environment(), capture_output=True,
                              input=given, timeout=300)
        assert done.returncode == 0, f"{arguments}: {done.stdout!r}{done.stderr!r}"
        return done.stdout

    return run


def test_sync_both_ways_and_remove(s5cmd, bucket, s3, tmp_path):
    tree = make_tree(tmp_path / "tree", big=60 * MIB)
    s5cmd("sync", "--part-size", "5", f"{tree}/", f"s3://{bucket}/copy/")
    assert s3.head_object(Bucket=bucket, Key="copy/big+=&.bin")["ETag"].endswith('-12"')
    assert s5cmd("sync", f"{tree}/", f"s3://{bucket}/copy/") == b""
    (tmp_path / "back").mkdir()
    s5cmd("cp", "--part-size", "5", f"s3://{bucket}/copy/*", f"{tmp_path}/back/")
    assert same_trees(tree, tmp_path / "back") == FILES
    shutil.rmtree(tree / "sub")
    s5cmd("sync", "--delete", f"{tree}/", f"s3://{bucket}/copy/")
    assert len(s5cmd("ls", f"s3://{bucket}/copy/*").splitlines()) == 7
    s5cmd("rm", f"s3://{bucket}/*")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_copies_moves_and_sizes(s5cmd, bucket, tmp_path):
    body = os.urandom(3 * MIB)
    (tmp_path / "up").write_bytes(body)
    s5cmd("cp", tmp_path / "up", f"s3://{bucket}/one")
    s5cmd("cp", f"s3://{bucket}/one", f"s3://{bucket}/folder/two")
    s5cmd("mv", f"s3://{bucket}/one", f"s3://{bucket}/folder/three")
    listed = s5cmd("ls", f"s3://{bucket}/folder/*").decode()
    assert [line.split()[-1] for line in listed.splitlines()] == ["three", "two"]
    assert s5cmd("cat", f"s3://{bucket}/folder/three") == body
    assert f"{6 * MIB} bytes in 2 objects" in s5cmd("du", f"s3://{bucket}/folder/*").decode()


def test_a_pipe(s5cmd, bucket):
    body = os.urandom(11 * MIB)
    s5cmd("pipe", "--part-size", "5", f"s3://{bucket}/piped", given=body)
    assert s5cmd("cat", f"s3://{bucket}/piped") == body
    assert b'"size":11534336' in s5cmd("--json", "head", f"s3://{bucket}/piped")
