"""Object lock and quotas, as boto3 and the command line use them."""

import datetime
import json
import subprocess
import uuid

import pytest
from botocore.exceptions import ClientError

from conftest import BINARY

MIB = 1 << 20
WHY = "Access Denied because object protected by object lock."


def code_of(error):
    return (error.value.response["ResponseMetadata"]["HTTPStatusCode"],
            error.value.response["Error"]["Code"])


def refused(call, status, code, message=None):
    with pytest.raises(ClientError) as error:
        call()
    assert code_of(error) == (status, code)
    if message:
        assert error.value.response["Error"]["Message"] == message


def in_days(days):
    now = datetime.datetime.now(datetime.timezone.utc)
    return (now + datetime.timedelta(days=days)).replace(microsecond=0)


@pytest.fixture
def lockable(s3):
    """A bucket with object lock, emptied afterwards: nothing in it may be in compliance mode."""
    name = f"lock-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    yield name
    versions = s3.list_object_versions(Bucket=name)
    for entry in versions.get("Versions", []):
        s3.put_object_legal_hold(Bucket=name, Key=entry["Key"], VersionId=entry["VersionId"],
                                 LegalHold={"Status": "OFF"})
    for entry in versions.get("Versions", []) + versions.get("DeleteMarkers", []):
        s3.delete_object(Bucket=name, Key=entry["Key"], VersionId=entry["VersionId"],
                         BypassGovernanceRetention=True)
    s3.delete_bucket(Bucket=name)


def test_a_buckets_lock_gives_its_default_to_new_objects(s3, lockable):
    assert s3.get_bucket_versioning(Bucket=lockable)["Status"] == "Enabled"
    refused(lambda: s3.put_bucket_versioning(
        Bucket=lockable, VersioningConfiguration={"Status": "Suspended"}), 409, "InvalidBucketState")
    configuration = {"ObjectLockEnabled": "Enabled"}
    assert s3.get_object_lock_configuration(Bucket=lockable)["ObjectLockConfiguration"] == configuration
    plain = s3.put_object(Bucket=lockable, Key="before", Body=b"x")
    refused(lambda: s3.get_object_retention(Bucket=lockable, Key="before"),
            404, "NoSuchObjectLockConfiguration")
    refused(lambda: s3.get_object_legal_hold(Bucket=lockable, Key="before"),
            404, "NoSuchObjectLockConfiguration")
    s3.delete_object(Bucket=lockable, Key="before", VersionId=plain["VersionId"])

    configuration["Rule"] = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 2}}
    s3.put_object_lock_configuration(Bucket=lockable, ObjectLockConfiguration=configuration)
    assert s3.get_object_lock_configuration(Bucket=lockable)["ObjectLockConfiguration"] == configuration
    put = s3.put_object(Bucket=lockable, Key="k", Body=b"x")
    head = s3.head_object(Bucket=lockable, Key="k")
    assert head["ObjectLockMode"] == "GOVERNANCE"
    assert abs(head["ObjectLockRetainUntilDate"] - in_days(2)) < datetime.timedelta(minutes=10)
    assert "ObjectLockLegalHoldStatus" not in head
    retention = s3.get_object_retention(Bucket=lockable, Key="k")["Retention"]
    assert (retention["Mode"], retention["RetainUntilDate"]) == (
        "GOVERNANCE", head["ObjectLockRetainUntilDate"])

    upload = s3.create_multipart_upload(Bucket=lockable, Key="m")["UploadId"]
    part = s3.upload_part(Bucket=lockable, Key="m", UploadId=upload, PartNumber=1, Body=b"x")
    s3.complete_multipart_upload(
        Bucket=lockable, Key="m", UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    s3.copy_object(Bucket=lockable, Key="c", CopySource={"Bucket": lockable, "Key": "k"})
    for key in ["m", "c"]:
        assert s3.head_object(Bucket=lockable, Key=key)["ObjectLockMode"] == "GOVERNANCE"

    # A marker may be laid on it; the version stays.
    marker = s3.delete_object(Bucket=lockable, Key="k")
    assert marker["DeleteMarker"]
    version = {"Bucket": lockable, "Key": "k", "VersionId": put["VersionId"]}
    refused(lambda: s3.delete_object(**version), 403, "AccessDenied", WHY)
    objects = {"Objects": [{"Key": "k", "VersionId": put["VersionId"]}]}
    answer = s3.delete_objects(Bucket=lockable, Delete=objects)
    assert [(error["Code"], error["Message"]) for error in answer["Errors"]] == [("AccessDenied", WHY)]
    assert s3.get_object(**version)["Body"].read() == b"x"
    answer = s3.delete_objects(Bucket=lockable, Delete=objects, BypassGovernanceRetention=True)
    assert "Errors" not in answer


def test_a_retention_only_grows_and_a_hold_holds(s3, lockable):
    put = s3.put_object(Bucket=lockable, Key="k", Body=b"x", ObjectLockMode="GOVERNANCE",
                        ObjectLockRetainUntilDate=in_days(5), ObjectLockLegalHoldStatus="ON")
    version = {"Bucket": lockable, "Key": "k", "VersionId": put["VersionId"]}

    def retain(mode, days, **more):
        retention = {"Mode": mode, "RetainUntilDate": in_days(days)}
        return s3.put_object_retention(**version, Retention=retention, **more)

    refused(lambda: retain("GOVERNANCE", 4), 403, "AccessDenied", WHY)
    refused(lambda: retain("COMPLIANCE", 9), 403, "AccessDenied", WHY)
    refused(lambda: retain("GOVERNANCE", -1), 400, "InvalidArgument")
    retain("GOVERNANCE", 6)
    retain("GOVERNANCE", 1, BypassGovernanceRetention=True)
    head = s3.head_object(**version)
    assert (head["ObjectLockMode"], head["ObjectLockLegalHoldStatus"]) == ("GOVERNANCE", "ON")
    # The hold is another matter than the retention.
    refused(lambda: s3.delete_object(**version, BypassGovernanceRetention=True), 403, "AccessDenied", WHY)
    assert s3.get_object_legal_hold(**version)["LegalHold"] == {"Status": "ON"}
    s3.put_object_legal_hold(**version, LegalHold={"Status": "OFF"})
    assert s3.head_object(**version)["ObjectLockLegalHoldStatus"] == "OFF"
    refused(lambda: s3.delete_object(**version), 403, "AccessDenied", WHY)
    s3.delete_object(**version, BypassGovernanceRetention=True)


def test_compliance_is_only_extended_and_ends_by_itself(s3, lockable):
    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=8)
    put = s3.put_object(Bucket=lockable, Key="k", Body=b"x", ObjectLockMode="COMPLIANCE",
                        ObjectLockRetainUntilDate=until)
    version = {"Bucket": lockable, "Key": "k", "VersionId": put["VersionId"]}
    for bypass in [False, True]:
        with pytest.raises(ClientError) as error:
            s3.delete_object(**version, BypassGovernanceRetention=bypass)
        # A machine that slept for the eight seconds says nothing against it.
        assert code_of(error) == (403, "AccessDenied")
    deadline = datetime.datetime.now() + datetime.timedelta(seconds=90)
    while True:
        try:
            s3.delete_object(**version)
            break
        except ClientError:
            assert datetime.datetime.now() < deadline


def test_what_is_wrong_about_a_lock_is_named(s3, bucket, lockable):
    def configure(name, **retention):
        rule = {"Rule": {"DefaultRetention": retention}} if retention else {}
        s3.put_object_lock_configuration(
            Bucket=name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", **rule})

    refused(lambda: configure(bucket), 409, "InvalidBucketState")
    refused(lambda: configure(lockable, Mode="GOVERNANCE", Days=0), 400, "InvalidRetentionPeriod")
    refused(lambda: configure(lockable, Mode="GOVERNANCE", Years=101), 400, "InvalidRetentionPeriod")
    refused(lambda: configure(lockable, Mode="GOVERNANCE", Days=1, Years=1), 400, "MalformedXML")
    refused(lambda: configure(lockable, Mode="NONE", Days=1), 400, "MalformedXML")
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    hold = {"LegalHold": {"Status": "ON"}}
    missing = "Bucket is missing Object Lock Configuration"
    for call in [
        lambda: s3.put_object_legal_hold(Bucket=bucket, Key="k", **hold),
        lambda: s3.get_object_legal_hold(Bucket=bucket, Key="k"),
        lambda: s3.get_object_retention(Bucket=bucket, Key="k"),
        lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"x", ObjectLockLegalHoldStatus="ON"),
        lambda: s3.create_multipart_upload(Bucket=bucket, Key="k", ObjectLockLegalHoldStatus="ON"),
        lambda: s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/k",
                               ObjectLockLegalHoldStatus="ON"),
    ]:
        refused(call, 400, "InvalidRequest", missing)
    past = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": in_days(-1)}
    for call in [
        lambda: s3.put_object(Bucket=lockable, Key="k", Body=b"x", **past),
        lambda: s3.create_multipart_upload(Bucket=lockable, Key="k", **past),
        lambda: s3.copy_object(Bucket=lockable, Key="k", CopySource=f"{bucket}/k", **past),
    ]:
        refused(call, 400, "InvalidArgument", "The retain until date must be in the future!")
    refused(lambda: s3.put_object(Bucket=lockable, Key="k", Body=b"x", ObjectLockMode="GOVERNANCE"),
            400, "InvalidArgument")
    refused(lambda: s3.put_object_legal_hold(Bucket=lockable, Key="none", **hold), 404, "NoSuchKey")
    # On a bucket that has versions it can be switched on.
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    configure(bucket)
    s3.put_object_legal_hold(Bucket=bucket, Key="k", **hold)
    s3.put_object_legal_hold(Bucket=bucket, Key="k", LegalHold={"Status": "OFF"})


def quota(holdfast, *words):
    """`holdfast admin bucket quota`, and what it answers."""
    command = [BINARY, "admin", "bucket", "quota", *words, "--json", "--endpoint", f"http://{holdfast.admin}"]
    environment = {**holdfast.environment(), "HOLDFAST_ACCESS_KEY": "HOLDFASTTESTKEY",
                   "HOLDFAST_SECRET_KEY": "a-secret-that-only-the-tests-know"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_quota_stops_what_does_not_fit(s3, holdfast, bucket):
    shown = quota(holdfast, bucket, "--bytes", "10MiB", "--objects", "3")
    assert shown["quota"] == {"bytes": 10 * MIB, "objects": 3}
    s3.put_object(Bucket=bucket, Key="a", Body=bytes(4 * MIB))
    upload = s3.create_multipart_upload(Bucket=bucket, Key="u")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="u", UploadId=upload, PartNumber=1, Body=bytes(5 * MIB))
    for call in [
        lambda: s3.put_object(Bucket=bucket, Key="b", Body=bytes(2 * MIB)),
        lambda: s3.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "a"}),
        lambda: s3.upload_part(Bucket=bucket, Key="u", UploadId=upload, PartNumber=2, Body=bytes(2 * MIB)),
    ]:
        refused(call, 403, "QuotaExceeded")
    s3.complete_multipart_upload(
        Bucket=bucket, Key="u", UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    s3.put_object(Bucket=bucket, Key="c", Body=bytes(MIB))
    refused(lambda: s3.put_object(Bucket=bucket, Key="d", Body=b""), 403, "QuotaExceeded")
    s3.put_object(Bucket=bucket, Key="a", Body=bytes(MIB))
    shown = quota(holdfast, bucket, "--none")
    assert shown["quota"] == {"bytes": None, "objects": None}
    s3.put_object(Bucket=bucket, Key="d", Body=bytes(20 * MIB))
