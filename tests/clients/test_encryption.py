"""Server-side encryption as clients use it: boto3, the aws CLI, rclone and s3cmd."""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import pathlib

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

MIB = 1 << 20
CANARY = b"canary in the mine, in the clear"


def customer(seed):
    """The parameters of SSE-C, and those of a copy's source."""
    key = hashlib.sha256(seed.encode()).digest()
    own = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}
    source = {f"CopySource{name}": value for name, value in own.items()}
    return own, source


def refused(call, **parameters):
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def lies_in_the_clear(holdfast):
    found = subprocess.run(["grep", "-rlaF", CANARY.decode(), str(holdfast.folder)],
                           capture_output=True, text=True)
    return found.stdout.split()


def test_sse_s3(s3, bucket):
    body = os.urandom(200_000)
    put = s3.put_object(Bucket=bucket, Key="k", Body=body, ServerSideEncryption="AES256")
    assert put["ServerSideEncryption"] == "AES256"
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    got = s3.get_object(Bucket=bucket, Key="k", Range="bytes=65530-65545")
    assert (got["Body"].read(), got["ServerSideEncryption"]) == (body[65530:65546], "AES256")
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == len(body)
    assert s3.list_objects_v2(Bucket=bucket)["Contents"][0]["Size"] == len(body)
    copied = s3.copy_object(Bucket=bucket, Key="plain", CopySource=f"{bucket}/k")
    assert "ServerSideEncryption" not in copied
    assert s3.get_object(Bucket=bucket, Key="plain")["Body"].read() == body
    kms = refused(s3.put_object, Bucket=bucket, Key="k", Body=b"", ServerSideEncryption="aws:kms")
    assert kms == (501, "NotImplemented")


def test_sse_c(s3, bucket):
    body = os.urandom(150_000)
    (key, source), (other, _) = customer("one"), customer("two")
    put = s3.put_object(Bucket=bucket, Key="k", Body=body, **key)
    assert put["SSECustomerAlgorithm"] == "AES256"
    md5 = base64.b64encode(hashlib.md5(key["SSECustomerKey"]).digest()).decode()
    assert put["SSECustomerKeyMD5"] == md5
    assert put["ETag"] != f'"{hashlib.md5(body).hexdigest()}"'
    got = s3.get_object(Bucket=bucket, Key="k", **key)
    assert (got["Body"].read(), got["SSECustomerKeyMD5"]) == (body, md5)
    assert s3.head_object(Bucket=bucket, Key="k", **key)["ETag"] == put["ETag"]
    # Here boto3 passes the key on as it is.
    encoded = base64.b64encode(key["SSECustomerKey"]).decode()
    spelt = {**key, "SSECustomerKey": encoded, "SSECustomerKeyMD5": md5}
    sizes = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectSize"],
                                     **spelt)
    assert sizes["ObjectSize"] == len(body)
    assert refused(s3.get_object, Bucket=bucket, Key="k") == (400, "InvalidRequest")
    assert refused(s3.get_object, Bucket=bucket, Key="k", **other) == (403, "AccessDenied")
    assert refused(s3.head_object, Bucket=bucket, Key="k", **other)[0] == 403
    assert refused(s3.copy_object, Bucket=bucket, Key="c", CopySource=f"{bucket}/k")[0] == 400
    s3.copy_object(Bucket=bucket, Key="c", CopySource=f"{bucket}/k", **other, **source)
    assert s3.get_object(Bucket=bucket, Key="c", **other)["Body"].read() == body
    s3.copy_object(Bucket=bucket, Key="server", CopySource=f"{bucket}/k",
                   ServerSideEncryption="AES256", **source)
    assert s3.get_object(Bucket=bucket, Key="server")["Body"].read() == body
    wrong = {**spelt, "SSECustomerKeyMD5": "AAAAAAAAAAAAAAAAAAAAAA=="}
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"", **wrong) == (
        400, "InvalidArgument")


@pytest.mark.parametrize("extra", [{"ServerSideEncryption": "AES256"}, customer("parts")[0]],
                         ids=["sse-s3", "sse-c"])
def test_multipart_by_the_transfer_manager(s3, bucket, tmp_path, extra):
    source, target = tmp_path / "up", tmp_path / "down"
    source.write_bytes(os.urandom(21 * MIB + 5))
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    s3.upload_file(str(source), bucket, "k", ExtraArgs=extra, Config=config)
    key = {name: value for name, value in extra.items() if name.startswith("SSEC")}
    s3.download_file(bucket, "k", str(target), ExtraArgs=key, Config=config)
    assert target.read_bytes() == source.read_bytes()
    head = s3.head_object(Bucket=bucket, Key="k", **key)
    assert head["ETag"].endswith('-5"') and head["ContentLength"] == 21 * MIB + 5


def test_part_copies_between_keys(s3, bucket):
    body = os.urandom(11 * MIB)
    (key, source), (other, _) = customer("from"), customer("to")
    s3.put_object(Bucket=bucket, Key="source", Body=body, **key)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k", **other)["UploadId"]
    parts = []
    for number, (first, last) in enumerate([(1, 6 * MIB), (6 * MIB + 1, 11 * MIB - 1)], 1):
        done = s3.upload_part_copy(Bucket=bucket, Key="k", UploadId=upload, PartNumber=number,
                                   CopySource=f"{bucket}/source",
                                   CopySourceRange=f"bytes={first}-{last}", **other, **source)
        parts.append({"PartNumber": number, "ETag": done["CopyPartResult"]["ETag"]})
    s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload,
                                 MultipartUpload={"Parts": parts}, **other)
    assert s3.get_object(Bucket=bucket, Key="k", **other)["Body"].read() == body[1:]
    second = s3.get_object(Bucket=bucket, Key="k", PartNumber=2, **other)["Body"].read()
    assert second == body[6 * MIB + 1:]


def test_bucket_default(s3, bucket, holdfast):
    assert refused(s3.get_bucket_encryption, Bucket=bucket)[1] == (
        "ServerSideEncryptionConfigurationNotFoundError")
    rules = [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"},
              "BucketKeyEnabled": True}]
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": rules})
    got = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert got == rules
    for number, size in enumerate([64, 4096, 70_000, 2 * MIB]):
        song = (CANARY * (size // len(CANARY) + 1))[:size]
        put = s3.put_object(Bucket=bucket, Key=f"k{number}", Body=song)
        assert put["ServerSideEncryption"] == "AES256"
        assert s3.get_object(Bucket=bucket, Key=f"k{number}")["Body"].read() == song
    assert lies_in_the_clear(holdfast) == []
    s3.delete_bucket_encryption(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="plain", Body=CANARY * 2)
    assert lies_in_the_clear(holdfast) != []
    kms = [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]
    assert refused(s3.put_bucket_encryption, Bucket=bucket,
                   ServerSideEncryptionConfiguration={"Rules": kms}) == (501, "NotImplemented")


def run(holdfast, *command):
    done = subprocess.run([*map(str, command)], env=holdfast.environment(), capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    for number, size in enumerate([0, 1, 65_536, 9 * MIB]):
        path = root / f"sub {number % 2}" / f"file {number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
    return root


def same(one, other):
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file())
    for file in files:
        assert (one / file).read_bytes() == (other / file).read_bytes(), file


def test_aws_cli(s3, holdfast, bucket, tree, tmp_path):
    aws = pathlib.Path(sys.executable).parent / "aws"
    aws = aws if aws.exists() else pathlib.Path("/usr/bin/aws")
    if not aws.exists():
        pytest.skip("aws is not installed")
    key = tmp_path / "key"
    key.write_bytes(os.urandom(32))
    own = ("--sse-c", "AES256", "--sse-c-key", f"fileb://{key}")
    for prefix, up, down in [("server", ("--sse",), ()), ("own", own, own)]:
        back = tmp_path / prefix
        command = (aws, "--endpoint-url", holdfast.endpoint, "s3", "sync")
        run(holdfast, *command, tree, f"s3://{bucket}/{prefix}", *up)
        run(holdfast, *command, f"s3://{bucket}/{prefix}", back, *down)
        same(tree, back)
        again = run(holdfast, *command, tree, f"s3://{bucket}/{prefix}", *up, "--size-only")
        assert "upload" not in again
    head = s3.head_object(Bucket=bucket, Key="server/sub 1/file 3")
    assert head["ServerSideEncryption"] == "AES256" and "-" in head["ETag"]


def test_rclone(s3, holdfast, bucket, tree, tmp_path):
    rclone = shutil.which("rclone", path=holdfast.environment()["PATH"])
    if rclone is None:
        pytest.skip("rclone is not installed")
    remote = (f":s3,provider=Other,env_auth=true,endpoint='{holdfast.endpoint}',"
              "region=us-east-1,force_path_style=true,upload_cutoff=6Mi,chunk_size=5Mi")
    key = hashlib.sha256(b"rclone").hexdigest()[:32]
    for prefix, extra in [
        ("server", ",server_side_encryption=AES256"),
        ("own", f",sse_customer_algorithm=AES256,sse_customer_key='{key}'"),
    ]:
        back = tmp_path / f"{prefix}-back"
        run(holdfast, rclone, "copy", tree, f"{remote}{extra}:{bucket}/{prefix}")
        run(holdfast, rclone, "copy", f"{remote}{extra}:{bucket}/{prefix}", back)
        same(tree, back)
        run(holdfast, rclone, "check", "--download", tree, f"{remote}{extra}:{bucket}/{prefix}")


def test_s3cmd(s3, holdfast, bucket, tree, tmp_path):
    s3cmd = shutil.which("s3cmd", path=holdfast.environment()["PATH"])
    if s3cmd is None:
        pytest.skip("s3cmd is not installed")
    environment = holdfast.environment()
    config = tmp_path / "s3cfg"
    config.write_text(f"""[default]
access_key = {environment["AWS_ACCESS_KEY_ID"]}
secret_key = {environment["AWS_SECRET_ACCESS_KEY"]}
host_base = {holdfast.s3}
host_bucket = {holdfast.s3}
bucket_location = us-east-1
use_https = False
signature_v2 = False
multipart_chunk_size_mb = 5
""")
    options = ("--config", config, "--no-progress")
    run(holdfast, s3cmd, *options, "put", "--recursive", "--server-side-encryption", f"{tree}/",
        f"s3://{bucket}/")
    back = tmp_path / "back"
    back.mkdir()
    run(holdfast, s3cmd, *options, "get", "--recursive", f"s3://{bucket}/", f"{back}/")
    same(tree, back)
    for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]:
        assert s3.head_object(Bucket=bucket, Key=entry["Key"])["ServerSideEncryption"] == "AES256"
