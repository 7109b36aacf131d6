"""rclone: sync, check, and copies inside the server."""

import os
import pathlib
import subprocess
import sys

import pytest

from conftest import ACCESS_KEY, REGION, SECRET_KEY

MIB = 1 << 20


@pytest.fixture
def rclone(holdfast, tmp_path):
    config = tmp_path / "rclone.conf"
    config.write_text(f"""[holdfast]
type = s3
provider = Other
access_key_id = {ACCESS_KEY}
secret_access_key = {SECRET_KEY}
endpoint = {holdfast.endpoint}
region = {REGION}
force_path_style = true
""")
    program = pathlib.Path(sys.executable).parent / "rclone"

    def run(*arguments):
        command = [str(program), "--config", str(config), "--retries", "1", *map(str, arguments)]
        done = subprocess.run(command, env=holdfast.environment(), capture_output=True, text=True,
                              timeout=600)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    return run


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    for number, size in enumerate([0, 1, 5000, 65536, 70000, MIB, 30 * MIB]):
        for folder in ("", "sub/", "sub/ü deep/"):
            path = root / f"{folder}file {number}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(os.urandom(size if number < 6 or not folder else 1000))
    return root


def test_sync_and_check(rclone, bucket, tree, tmp_path):
    target = f"holdfast:{bucket}/copy"
    rclone("sync", tree, target, "--s3-upload-cutoff", "10M", "--s3-chunk-size", "5M")
    rclone("check", tree, target, "--download")
    assert "0 differences found" in rclone("check", tree, target)
    back = tmp_path / "back"
    rclone("sync", target, back)
    rclone("check", tree, back)
    (tree / "file 1.bin").write_bytes(b"changed")
    (tree / "sub/file 3.bin").unlink()
    rclone("sync", tree, target)
    assert "0 differences found" in rclone("check", tree, target)
    assert len(rclone("lsf", "-R", "--files-only", target).splitlines()) == 20


def test_copies_inside_the_server(rclone, bucket, tree):
    one, other = f"holdfast:{bucket}/one", f"holdfast:{bucket}/other"
    rclone("sync", tree, one)
    out = rclone("sync", one, other, "-v", "--stats-one-line")
    assert "(server-side copy)" in out
    assert "0 differences found" in rclone("check", one, other)
    rclone("moveto", f"{other}/file 0.bin", f"{other}/moved.bin")
    rclone("purge", one)
    rclone("check", f"{other}/sub", tree / "sub")
