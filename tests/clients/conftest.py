"""Starts the real binary once for all client tests and hands out clients for it."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid

import boto3
import pytest
from botocore.config import Config

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("HOLDFAST_BINARY", ROOT / "target/debug/holdfast"))
ACCESS_KEY = "HOLDFASTTESTKEY"
SECRET_KEY = "a-secret-that-only-the-tests-know"
REGION = "us-east-1"


class Holdfast:
    """A running server: its addresses, and the environment that points a client at it."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.s3 = f"127.0.0.1:{free_port()}"
        self.admin = f"127.0.0.1:{free_port()}"
        self.endpoint = f"http://{self.s3}"
        self.log = open(self.folder / "log", "wb")
        # Without it version 1 of the aws CLI presigns by SigV2.
        self.config = self.folder / "aws-config"
        self.config.write_text("[default]\ns3 =\n  signature_version = s3v4\n")
        self.process = subprocess.Popen(
            [BINARY, "serve", "--data", self.folder / "data", "--listen", self.s3,
             "--admin-listen", self.admin],
            env={**os.environ, "HOLDFAST_ACCESS_KEY": ACCESS_KEY, "HOLDFAST_SECRET_KEY": SECRET_KEY},
            stdout=self.log, stderr=subprocess.STDOUT)

    def wait_until_ready(self):
        for _ in range(600):
            try:
                if urllib.request.urlopen(f"http://{self.admin}/readyz", timeout=5).status == 200:
                    return
            except OSError:
                pass
            assert self.process.poll() is None, self.log_text()
            time.sleep(0.1)
        raise AssertionError("not ready after 60 s:\n" + self.log_text())

    def log_text(self):
        return (self.folder / "log").read_text(errors="replace")[-4000:]

    def environment(self):
        """For the command line clients; nothing of the machine's own settings shines through."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {**kept, "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
                "AWS_DEFAULT_REGION": REGION, "AWS_CONFIG_FILE": str(self.config),
                "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "none"),
                "AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": "",
                "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"}

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self.log.close()
        return code


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def holdfast():
    # On a disk: /tmp may be memory, where fsync means nothing.
    base = ROOT / "target/tmp"
    base.mkdir(parents=True, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="clients-", dir=base)
    server = Holdfast(folder)
    server.wait_until_ready()
    yield server
    assert server.stop() == 0, server.log_text()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def s3(holdfast):
    return boto3.client(
        "s3", endpoint_url=holdfast.endpoint, region_name=REGION, aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        # Without it boto3 presigns by SigV2 in us-east-1, which Holdfast refuses.
        config=Config(s3={"addressing_style": "path"}, signature_version="s3v4",
                      retries={"max_attempts": 1}))


@pytest.fixture
def bucket(s3):
    """A bucket that is new, and emptied and deleted afterwards."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    yield name
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=name):
        for upload in page.get("Uploads", []):
            s3.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
        entries = page.get("Versions", []) + page.get("DeleteMarkers", [])
        objects = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in entries]
        if objects:
            answer = s3.delete_objects(Bucket=name, Delete={"Objects": objects, "Quiet": True})
            assert not answer.get("Errors"), answer
    s3.delete_bucket(Bucket=name)
