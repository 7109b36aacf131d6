"""HTTPS, buckets as host names, and presigned URLs of both, by boto3."""

import hashlib
import os
import shutil
import socket
import subprocess
import urllib.request

import boto3
import pytest
from botocore.config import Config

import conftest

DOMAIN = "s3.holdfast.test"

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")


def make_certificate(folder):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=holdfast", "-keyout", folder / "key.pem",
         "-out", folder / "cert.pem",
         "-addext", "basicConstraints=critical,CA:FALSE",
         "-addext", f"subjectAltName=DNS:*.{DOMAIN},DNS:{DOMAIN},IP:127.0.0.1"],
        check=True, capture_output=True)


@pytest.fixture(scope="module")
def https(tmp_path_factory):
    folder = tmp_path_factory.mktemp("https")
    make_certificate(folder)
    os.environ["HOLDFAST_TLS_CERT"] = str(folder / "cert.pem")
    os.environ["HOLDFAST_TLS_KEY"] = str(folder / "key.pem")
    os.environ["HOLDFAST_DOMAIN"] = f"other.test,{DOMAIN}"
    os.environ["SSL_CERT_FILE"] = str(folder / "cert.pem")
    try:
        server = conftest.Holdfast(folder)
        ready = ["admin", "ready", "--endpoint", f"https://{server.admin}"]
        for _ in range(300):
            asked = subprocess.run([conftest.BINARY, *ready], capture_output=True, text=True)
            if asked.returncode == 0:
                break
            assert server.process.poll() is None, server.log_text()
        assert asked.returncode == 0, asked.stderr
        yield server
    finally:
        for name in ("HOLDFAST_TLS_CERT", "HOLDFAST_TLS_KEY", "HOLDFAST_DOMAIN", "SSL_CERT_FILE"):
            os.environ.pop(name, None)
    assert server.stop() == 0


@pytest.fixture(autouse=True)
def names(monkeypatch):
    """The domain and all names below it are this machine."""
    real = socket.getaddrinfo

    def resolve(host, *rest, **named):
        name = host.decode() if isinstance(host, bytes) else host
        return real("127.0.0.1" if name and name.endswith(DOMAIN) else host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def client(server, style):
    port = server.s3.rsplit(":", 1)[1]
    return boto3.client(
        "s3", endpoint_url=f"https://{DOMAIN}:{port}", region_name=conftest.REGION,
        aws_access_key_id=conftest.ACCESS_KEY, aws_secret_access_key=conftest.SECRET_KEY,
        verify=str(server.folder / "cert.pem"),
        config=Config(s3={"addressing_style": style}, signature_version="s3v4"))


@pytest.mark.parametrize("style", ["virtual", "path"])
def test_both_styles_name_the_same_bucket_over_https(https, style):
    s3, other = client(https, style), client(https, "path" if style == "virtual" else "virtual")
    bucket = f"by-{style}"
    s3.create_bucket(Bucket=bucket)
    body = os.urandom(700_000)
    for key in ["plain", "a//b/../c", "with space+plus", "ünï"]:
        s3.put_object(Bucket=bucket, Key=key, Body=body)
        assert other.get_object(Bucket=bucket, Key=key)["Body"].read() == body
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == sorted(keys, key=lambda key: key.encode()) and len(keys) == 4
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")
    part = s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload["UploadId"], PartNumber=1,
                          Body=body)
    done = s3.complete_multipart_upload(
        Bucket=bucket, Key="parts", UploadId=upload["UploadId"],
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert done["Location"].startswith("https://")
    assert bucket in done["Location"] and done["Location"].endswith("/parts")


@pytest.mark.parametrize("style", ["virtual", "path"])
def test_presigned_urls_of_both_styles_work(https, style):
    s3 = client(https, style)
    bucket = f"presigned-{style}"
    s3.create_bucket(Bucket=bucket)
    body = os.urandom(100_000)
    put = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k y"})
    assert (f"//{bucket}.{DOMAIN}" in put) == (style == "virtual")
    request = urllib.request.Request(put, data=body, method="PUT",
                                     headers={"Content-Type": ""})
    context = __import__("ssl").create_default_context(cafile=str(https.folder / "cert.pem"))
    assert urllib.request.urlopen(request, context=context).status == 200
    get = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k y"})
    got = urllib.request.urlopen(get, context=context).read()
    assert hashlib.sha256(got).digest() == hashlib.sha256(body).digest()
