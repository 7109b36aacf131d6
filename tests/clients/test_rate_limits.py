"""Rate limits, as boto3 meets them."""

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from conftest import ACCESS_KEY, BINARY, REGION, SECRET_KEY


def rate_limit(holdfast, bucket, *words):
    """`holdfast admin bucket rate-limit`, and what it answers."""
    command = [BINARY, "admin", "bucket", "rate-limit", bucket, *words, "--json",
               "--endpoint", f"http://{holdfast.admin}"]
    environment = {**holdfast.environment(), "HOLDFAST_ACCESS_KEY": ACCESS_KEY,
                   "HOLDFAST_SECRET_KEY": SECRET_KEY}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def limited(holdfast, bucket):
    """A bucket with a limit, which is taken off before it is emptied."""
    shown = rate_limit(holdfast, bucket, "--requests-per-second", "5")
    assert shown["rate_limit"] == {"requests_per_second": 5, "bytes_per_second": None}
    yield bucket
    shown = rate_limit(holdfast, bucket, "--none")
    assert shown["rate_limit"] == {"requests_per_second": None, "bytes_per_second": None}


def test_without_retries_a_burst_is_told_to_slow_down(s3, holdfast, limited):
    rate_limit(holdfast, limited, "--requests-per-second", "1")

    def ask(_):
        try:
            return s3.list_objects_v2(Bucket=limited)
        except ClientError as error:
            return error.response

    deadline = time.monotonic() + 60
    refused = []
    with ThreadPoolExecutor(8) as threads:
        while not refused:
            assert time.monotonic() < deadline, "nothing was refused"
            answers = list(threads.map(ask, range(40)))
            refused = [answer for answer in answers if "Error" in answer]
    for answer in refused:
        assert answer["Error"]["Code"] == "SlowDown"
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 503
        assert answer["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"


def test_with_retries_all_of_it_is_done(holdfast, limited):
    patient = boto3.client(
        "s3", endpoint_url=holdfast.endpoint, region_name=REGION, aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(s3={"addressing_style": "path"}, signature_version="s3v4",
                      retries={"mode": "standard", "max_attempts": 20}))
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda n: patient.put_object(Bucket=limited, Key=f"k{n}", Body=b"x"), range(16)))
        bodies = threads.map(lambda n: patient.get_object(Bucket=limited, Key=f"k{n}")["Body"].read(), range(8))
        assert list(bodies) == [b"x"] * 8
