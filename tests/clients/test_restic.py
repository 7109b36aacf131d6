"""restic: a backup repository, checked to the last byte, pruned and restored."""

import os
import pathlib
import shutil
import subprocess

import pytest

from trees import make_tree, same_trees

PROGRAM = pathlib.Path("/usr/bin/restic")


@pytest.fixture
def restic(holdfast, bucket, tmp_path):
    if not PROGRAM.exists():
        pytest.skip("restic is not installed")
    environment = {**holdfast.environment(), "RESTIC_PASSWORD": "backups", "HOME": str(tmp_path),
                   "RESTIC_REPOSITORY": f"s3:{holdfast.endpoint}/{bucket}/repo"}

    def run(*arguments):
        command = [str(PROGRAM), "--no-cache", *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    return run


def test_backup_check_prune_and_restore(restic, tmp_path):
    tree = make_tree(tmp_path / "tree", big=30 << 20)
    restic("init")
    restic("backup", tree)
    shutil.copytree(tree, tmp_path / "first")
    (tree / "file 4.bin").write_bytes(os.urandom(100_000))
    (tree / "sub/file 3.bin").unlink()
    restic("backup", tree)
    assert "no errors were found" in restic("check", "--read-data")
    restic("restore", "latest", "--target", tmp_path / "latest")
    same_trees(tree, tmp_path / "latest" / tree.relative_to("/"))
    first = restic("snapshots", "--compact").split("----\n")[1].split()[0]
    restic("restore", first, "--target", tmp_path / "again")
    same_trees(tmp_path / "first", tmp_path / "again" / tree.relative_to("/"))
    restic("forget", "--keep-last", "1", "--prune")
    assert "no errors were found" in restic("check", "--read-data")
    restic("restore", "latest", "--target", tmp_path / "pruned")
    same_trees(tree, tmp_path / "pruned" / tree.relative_to("/"))
    assert restic("list", "locks") == ""
