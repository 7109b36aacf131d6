"""AWS's SDK for Rust, as a program of its own."""

import os
import shutil
import subprocess
import urllib.request

import pytest

from conftest import ROOT

STORY = ROOT / "tests/clients/rust_sdk"


@pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not there")
def test_the_sdk_for_rust(holdfast, bucket):
    build = {**os.environ, "CARGO_TARGET_DIR": str(ROOT / "target/rust-sdk")}
    subprocess.run(["cargo", "build", "-q", "--locked"], cwd=STORY, env=build, check=True)
    story = subprocess.run(
        [ROOT / "target/rust-sdk/debug/rust-sdk-story"], capture_output=True, text=True,
        env={**holdfast.environment(), "ENDPOINT": holdfast.endpoint, "BUCKET": bucket})
    assert story.returncode == 0, story.stdout + story.stderr
    signed = next(line.split()[1] for line in story.stdout.splitlines()
                  if line.startswith("PRESIGNED"))
    assert len(urllib.request.urlopen(signed, timeout=30).read()) == 300_000
