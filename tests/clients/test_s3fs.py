"""s3fs (fsspec), which pins its botocore and so lives in an environment of its own."""

import pathlib
import subprocess
import sys

import pytest

from conftest import ACCESS_KEY, REGION, SECRET_KEY

PYTHON = pathlib.Path(sys.executable).parents[2] / "venv-s3fs/bin/python"
STORY = pathlib.Path(__file__).with_name("s3fs_story.py")


@pytest.mark.parametrize("chapter", ["files", "appends", "trees", "copies"])
def test_s3fs(holdfast, bucket, tmp_path, chapter):
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON} is not there; tests/run installs it")
    command = [PYTHON, STORY, chapter, holdfast.endpoint, bucket, ACCESS_KEY, SECRET_KEY, REGION]
    done = subprocess.run(command, env=holdfast.environment(), cwd=tmp_path, capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(f"{chapter}: all as it must be\n")
