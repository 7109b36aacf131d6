"""The aws CLI, version 1 from PyPI and, where Debian has it, version 2."""

import filecmp
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

MIB = 1 << 20
VERSIONS = {
    "v1": pathlib.Path(sys.executable).parent / "aws",
    "v2": pathlib.Path("/usr/bin/aws"),
}


@pytest.fixture(params=VERSIONS)
def aws(request, holdfast):
    program = VERSIONS[request.param]
    if not program.exists():
        pytest.skip(f"{program} is not installed")

    def run(*arguments):
        command = [str(program), "--endpoint-url", holdfast.endpoint, *map(str, arguments)]
        done = subprocess.run(command, env=holdfast.environment(), capture_output=True, text=True,
                              timeout=600)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    return run


@pytest.fixture
def tree(tmp_path):
    """A folder of files of many sizes and names."""
    root = tmp_path / "tree"
    for number, size in enumerate([0, 1, 5000, 65536, 70000, MIB, 9 * MIB]):
        for folder in ("", "sub/", "sub/ü deep/"):
            path = root / f"{folder}file {number}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(os.urandom(size))
    return root


def test_256_mib_up_and_down(aws, bucket, s3, tmp_path):
    source, target = tmp_path / "up", tmp_path / "down"
    with open(source, "wb") as file:
        for _ in range(256):
            file.write(os.urandom(MIB))
    aws("s3", "cp", source, f"s3://{bucket}/big", "--no-progress")
    head = s3.head_object(Bucket=bucket, Key="big")
    assert head["ContentLength"] == 256 * MIB
    assert head["ETag"].endswith('-32"')
    aws("s3", "cp", f"s3://{bucket}/big", target, "--no-progress")
    assert filecmp.cmp(source, target, shallow=False)


def test_sync_both_ways_and_remove(aws, bucket, s3, tree, tmp_path):
    aws("s3", "sync", tree, f"s3://{bucket}/backup", "--no-progress")
    listed = aws("s3", "ls", f"s3://{bucket}/backup/", "--recursive")
    assert len(listed.splitlines()) == 21
    assert aws("s3", "sync", tree, f"s3://{bucket}/backup", "--no-progress") == ""
    back = tmp_path / "back"
    aws("s3", "sync", f"s3://{bucket}/backup", back, "--no-progress")
    compare(tree, back)
    (tree / "file 2.bin").unlink()
    aws("s3", "sync", tree, f"s3://{bucket}/backup", "--delete", "--no-progress")
    assert len(aws("s3", "ls", f"s3://{bucket}/backup/", "--recursive").splitlines()) == 20
    aws("s3", "rm", f"s3://{bucket}", "--recursive")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_presign_and_curl(aws, bucket, s3, tmp_path):
    body = os.urandom(100_000)
    s3.put_object(Bucket=bucket, Key="a/b c", Body=body)
    url = aws("s3", "presign", f"s3://{bucket}/a/b c", "--expires-in", "60").strip()
    curl = shutil.which("curl")
    target = tmp_path / "got"
    subprocess.run([curl, "--fail", "--silent", "--show-error", "-o", target, url], check=True)
    assert target.read_bytes() == body


def test_copy_move_and_api(aws, bucket, tmp_path):
    (tmp_path / "f").write_bytes(b"moved")
    aws("s3", "cp", tmp_path / "f", f"s3://{bucket}/one")
    aws("s3", "cp", f"s3://{bucket}/one", f"s3://{bucket}/two")
    aws("s3", "mv", f"s3://{bucket}/two", f"s3://{bucket}/three")
    assert aws("s3", "ls", f"s3://{bucket}/").split()[3::4] == ["one", "three"]
    aws("s3api", "put-bucket-versioning", "--bucket", bucket, "--versioning-configuration",
        "Status=Enabled")
    assert '"Enabled"' in aws("s3api", "get-bucket-versioning", "--bucket", bucket)
    assert aws("s3", "cp", f"s3://{bucket}/three", "-") == "moved"


def compare(one, other):
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    found = sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    assert found == files
    for path in files:
        assert filecmp.cmp(one / path, other / path, shallow=False), path
