"""What happens in a bucket is told to a webhook, as boto3 and MinIO's SDK ask for it."""

import http.server
import io
import json
import os
import subprocess
import threading
import time
import urllib.parse

import pytest
from botocore.exceptions import ClientError
from minio import Minio
from minio.notificationconfig import (NotificationConfig, PrefixFilterRule, QueueConfig,
                                      SuffixFilterRule)

from conftest import ACCESS_KEY, BINARY, SECRET_KEY


class Receiver:
    """Takes what is posted to it."""

    def __init__(self):
        self.bodies = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.bodies.append(json.loads(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def events(self, bucket):
        """(event, key) of a bucket, as they came."""
        records = [one for body in list(self.bodies) for one in body.get("Records", [])]
        return [(one["eventName"], urllib.parse.unquote_plus(one["s3"]["object"]["key"]))
                for one in records if one["s3"]["bucket"]["name"] == bucket]

    def wait_for(self, holds):
        for _ in range(600):
            if holds():
                return
            time.sleep(0.1)
        raise AssertionError(f"not after a minute: {self.bodies}")


def admin(holdfast, *words):
    environment = {**os.environ, "HOLDFAST_ACCESS_KEY": ACCESS_KEY,
                   "HOLDFAST_SECRET_KEY": SECRET_KEY}
    subprocess.run([BINARY, "admin", *words, "--endpoint", f"http://{holdfast.admin}"],
                   env=environment, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture
def receiver(holdfast):
    receiver = Receiver()
    admin(holdfast, "webhook", "create", "hook", "--url", receiver.url, "--allow-loopback")
    yield receiver
    admin(holdfast, "webhook", "delete", "hook")
    receiver.server.shutdown()


def test_boto3_says_what_it_wants_and_is_told(s3, bucket, receiver):
    wanted = {"QueueConfigurations": [{
        "Id": "mine", "QueueArn": "arn:aws:sqs:us-east-1:123456789012:hook",
        "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectTagging:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "a/"}]}}}]}
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=wanted)
    found = s3.get_bucket_notification_configuration(Bucket=bucket)
    found.pop("ResponseMetadata")
    assert found == wanted
    receiver.wait_for(lambda: any(body.get("Event") == "s3:TestEvent" and body["Bucket"] == bucket
                                  for body in receiver.bodies))

    key = "a/red flower+é.jpg"
    s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    s3.put_object(Bucket=bucket, Key="b/other", Body=b"x")
    s3.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    s3.delete_object_tagging(Bucket=bucket, Key=key)
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"y")
    s3.complete_multipart_upload(
        Bucket=bucket, Key=key, UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    s3.copy_object(Bucket=bucket, Key=key, CopySource={"Bucket": bucket, "Key": "b/other"})
    s3.delete_object(Bucket=bucket, Key=key)
    expected = [("ObjectCreated:Put", key), ("ObjectTagging:Put", key),
                ("ObjectTagging:Delete", key), ("ObjectCreated:CompleteMultipartUpload", key),
                ("ObjectCreated:Copy", key), ("ObjectRemoved:Delete", key)]
    receiver.wait_for(lambda: len(receiver.events(bucket)) >= len(expected))
    assert receiver.events(bucket) == expected

    with pytest.raises(ClientError) as error:
        wanted["QueueConfigurations"][0]["QueueArn"] = "arn:aws:sqs:us-east-1:123456789012:nobody"
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=wanted)
    assert error.value.response["Error"]["Code"] == "InvalidArgument"
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})


def test_a_versioned_bucket_tells_of_markers(s3, bucket, receiver):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_notification_configuration(
        Bucket=bucket, SkipDestinationValidation=True,
        NotificationConfiguration={"TopicConfigurations": [{
            "TopicArn": "arn:holdfast:sns::hook:webhook",
            "Events": ["s3:ObjectCreated:Put", "s3:ObjectRemoved:*"]}]})
    answers = [s3.put_object(Bucket=bucket, Key="k", Body=b"x"), s3.delete_object(Bucket=bucket, Key="k")]
    version, marker = [answer["VersionId"] for answer in answers]
    answers.append(s3.delete_object(Bucket=bucket, Key="k", VersionId=version))
    receiver.wait_for(lambda: len(receiver.events(bucket)) >= 3)
    records = [one for body in receiver.bodies for one in body.get("Records", [])]
    assert [(one["eventName"], one["s3"]["object"]["versionId"]) for one in records] == [
        ("ObjectCreated:Put", version), ("ObjectRemoved:DeleteMarkerCreated", marker),
        ("ObjectRemoved:Delete", version)]
    assert [(one["userIdentity"], one["requestParameters"], one["responseElements"])
            for one in records] == [
        ({"principalId": ACCESS_KEY}, {"sourceIPAddress": "127.0.0.1"},
         {"x-amz-request-id": answer["ResponseMetadata"]["RequestId"]}) for answer in answers]
    sequencers = [one["s3"]["object"]["sequencer"] for one in records]
    assert sequencers == sorted(sequencers)
    assert not any("Event" in body for body in receiver.bodies), "it was to be skipped"
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})


def test_minios_sdk_says_what_it_wants_and_is_told(holdfast, bucket, receiver):
    client = Minio(holdfast.s3, ACCESS_KEY, SECRET_KEY, secure=False, region="us-east-1")
    client.set_bucket_notification(bucket, NotificationConfig(queue_config_list=[QueueConfig(
        events=["s3:ObjectCreated:*"], queue="arn:minio:sqs::hook:webhook", config_id="1",
        prefix_filter_rule=PrefixFilterRule("a/"), suffix_filter_rule=SuffixFilterRule(".jpg"))]))
    found = client.get_bucket_notification(bucket).queue_config_list[0]
    assert (found.queue, found.events) == ("arn:minio:sqs::hook:webhook", ["s3:ObjectCreated:*"])
    for key in ["a/one.jpg", "a/two.png", "b/three.jpg"]:
        client.put_object(bucket, key, io.BytesIO(b"x"), 1)
    receiver.wait_for(lambda: receiver.events(bucket))
    assert receiver.events(bucket) == [("ObjectCreated:Put", "a/one.jpg")]
    client.delete_bucket_notification(bucket)
    assert not client.get_bucket_notification(bucket).queue_config_list
