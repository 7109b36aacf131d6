"""boto3 beyond the everyday: copied parts, tags, attributes, what tools read of a bucket, forms."""

import hashlib
import os
import urllib.error
import urllib.request
import uuid

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

MIB = 1 << 20


def code_of(error):
    return (error.value.response["ResponseMetadata"]["HTTPStatusCode"],
            error.value.response["Error"]["Code"])


def test_a_big_copy_goes_by_parts(s3, bucket):
    body = os.urandom(21 * MIB + 5)
    s3.put_object(Bucket=bucket, Key="big", Body=body, Tagging="from=source")
    by_parts = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB)
    s3.copy({"Bucket": bucket, "Key": "big"}, bucket, "copy", Config=by_parts)
    s3.delete_object(Bucket=bucket, Key="big")
    copy = s3.get_object(Bucket=bucket, Key="copy")
    assert copy["Body"].read() == body
    pieces = [body[at:at + 8 * MIB] for at in range(0, len(body), 8 * MIB)]
    md5s = b"".join(hashlib.md5(piece).digest() for piece in pieces)
    assert copy["ETag"] == f'"{hashlib.md5(md5s).hexdigest()}-3"'
    wanted = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    known = s3.get_object_attributes(Bucket=bucket, Key="copy", ObjectAttributes=wanted, MaxParts=2)
    assert known["ETag"] == copy["ETag"].strip('"')
    assert (known["ObjectSize"], known["StorageClass"]) == (len(body), "STANDARD")
    parts = known["ObjectParts"]
    assert (parts["TotalPartsCount"], parts["IsTruncated"], parts["NextPartNumberMarker"]) == (3, True, 2)
    assert [part["Size"] for part in parts["Parts"]] == [8 * MIB, 8 * MIB]


def test_tags(s3, bucket):
    tags = [{"Key": "a", "Value": "1"}, {"Key": "b c", "Value": "x/y"}]
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="old=1")
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": tags})
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == tags
    assert s3.get_object(Bucket=bucket, Key="k")["TagCount"] == 2
    source = {"Bucket": bucket, "Key": "k"}
    s3.copy_object(Bucket=bucket, Key="same", CopySource=source)
    assert s3.get_object_tagging(Bucket=bucket, Key="same")["TagSet"] == tags
    s3.copy_object(Bucket=bucket, Key="other", CopySource=source, TaggingDirective="REPLACE",
                   Tagging="z=%20")
    assert s3.get_object_tagging(Bucket=bucket, Key="other")["TagSet"] == [{"Key": "z", "Value": " "}]
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    many = [{"Key": str(number), "Value": ""} for number in range(11)]
    with pytest.raises(ClientError) as error:
        s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": many})
    assert code_of(error) == (400, "BadRequest")
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
    s3.delete_bucket_tagging(Bucket=bucket)
    with pytest.raises(ClientError) as error:
        s3.get_bucket_tagging(Bucket=bucket)
    assert code_of(error) == (404, "NoSuchTagSet")


def test_what_tools_read_of_a_bucket(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for acl in [s3.get_bucket_acl(Bucket=bucket), s3.get_object_acl(Bucket=bucket, Key="k")]:
        assert [grant["Permission"] for grant in acl["Grants"]] == ["FULL_CONTROL"]
        assert acl["Grants"][0]["Grantee"]["ID"] == acl["Owner"]["ID"]
        assert acl["Grants"][0]["Grantee"]["Type"] == "CanonicalUser"
    controls = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]
    assert controls == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=controls)
    for call, code in [
        (lambda: s3.put_bucket_acl(Bucket=bucket, ACL="public-read"), (400, "AccessControlListNotSupported")),
        (lambda: s3.put_object_acl(Bucket=bucket, Key="k", ACL="private"), (400, "AccessControlListNotSupported")),
        (lambda: s3.get_bucket_policy(Bucket=bucket), (404, "NoSuchBucketPolicy")),
        (lambda: s3.get_bucket_cors(Bucket=bucket), (404, "NoSuchCORSConfiguration")),
        (lambda: s3.get_bucket_lifecycle_configuration(Bucket=bucket), (404, "NoSuchLifecycleConfiguration")),
        (lambda: s3.get_bucket_website(Bucket=bucket), (404, "NoSuchWebsiteConfiguration")),
        (lambda: s3.get_bucket_replication(Bucket=bucket), (404, "ReplicationConfigurationNotFoundError")),
        (lambda: s3.get_bucket_encryption(Bucket=bucket), (404, "ServerSideEncryptionConfigurationNotFoundError")),
        (lambda: s3.get_object_lock_configuration(Bucket=bucket), (404, "ObjectLockConfigurationNotFoundError")),
        (lambda: s3.get_public_access_block(Bucket=bucket), (404, "NoSuchPublicAccessBlockConfiguration")),
        (lambda: s3.put_bucket_policy(Bucket=bucket, Policy="{}"), (501, "NotImplemented")),
    ]:
        with pytest.raises(ClientError) as error:
            call()
        assert code_of(error) == code
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)
    assert "Status" not in s3.get_bucket_accelerate_configuration(Bucket=bucket)
    assert "TopicConfigurations" not in s3.get_bucket_notification_configuration(Bucket=bucket)


def ask(url, method, body=None, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data=body, method=method, headers=headers)
    try:
        return urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        return error


def test_pages_of_other_origins(s3, bucket):
    rules = [{"AllowedOrigins": ["https://app.example.com"], "AllowedMethods": ["GET", "PUT"],
              "AllowedHeaders": ["content-type"], "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 60}]
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == rules
    s3.put_object(Bucket=bucket, Key="k", Body=b"hello")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    app = "https://app.example.com"
    preflight = ask(url, "OPTIONS", Origin=app, Access_Control_Request_Method="GET")
    assert preflight.status == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == app
    assert preflight.headers["Access-Control-Max-Age"] == "60"
    got = ask(url, "GET", Origin=app)
    assert (got.read(), got.headers["Access-Control-Allow-Origin"]) == (b"hello", app)
    evil = ask(url, "OPTIONS", Origin="https://evil.com", Access_Control_Request_Method="GET")
    assert evil.status == 403
    s3.delete_bucket_cors(Bucket=bucket)
    assert ask(url, "OPTIONS", Origin=app, Access_Control_Request_Method="GET").status == 403


def form(fields, name, body):
    boundary = uuid.uuid4().hex
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
             for key, value in fields.items()]
    parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; '
                 f'filename="{name}"\r\n\r\n')
    whole = "".join(parts).encode() + body + f"\r\n--{boundary}--\r\n".encode()
    return whole, f"multipart/form-data; boundary={boundary}"


def test_browser_uploads(s3, bucket):
    body = os.urandom(3 * MIB + 1)
    post = s3.generate_presigned_post(
        bucket, "user/${filename}", Fields={"success_action_status": "201"},
        Conditions=[["starts-with", "$key", "user/"], {"success_action_status": "201"},
                    ["content-length-range", 1, len(body)]])
    sent, kind = form(post["fields"], "cat.jpg", body)
    answer = ask(post["url"], "POST", sent, Content_Type=kind)
    assert answer.status == 201, answer.read()
    assert b"<Key>user/cat.jpg</Key>" in answer.read()
    assert s3.get_object(Bucket=bucket, Key="user/cat.jpg")["Body"].read() == body
    for fields, content, status in [
        ({**post["fields"], "key": "other/x"}, body, 403),
        ({**post["fields"], "acl": "private"}, body, 403),
        (post["fields"], body + b"x", 400),
        (post["fields"], b"", 400),
        ({**post["fields"], "x-amz-signature": "0" * 64}, body, 403),
        ({key: value for key, value in post["fields"].items() if key != "policy"}, body, 403),
    ]:
        sent, kind = form(fields, "dog.jpg", content)
        refused = ask(post["url"], "POST", sent, Content_Type=kind)
        assert refused.status == status, refused.read()
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == ["user/cat.jpg"]
