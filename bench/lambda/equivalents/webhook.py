"""The webhook function as one would write it in Python: livekit-api verifies, boto3 keeps and sends.

The same requests to S3 and SQS in the same order as `functions/webhook` makes for the first participant of a call, with the same keys. Left
out, in Python's favour: agents by number or room, all other events, redaction, the log.
"""

import base64
import datetime
import json
import os

import boto3
from botocore.exceptions import ClientError
from livekit import api

QUEUE = os.environ["QUEUE_URL"]
BUCKET = os.environ["BUCKET"]
RECEIVER = api.WebhookReceiver(api.TokenVerifier(os.environ["LIVEKIT_API_KEY"], os.environ["LIVEKIT_API_SECRET"]))
S3 = boto3.client("s3", endpoint_url=os.environ["ENDPOINT"])
SQS = boto3.client("sqs", endpoint_url=os.environ["ENDPOINT"])


def handler(request, _context):
    body = request["body"]
    if request.get("isBase64Encoded"):
        body = base64.b64decode(body).decode()
    try:
        event = RECEIVER.receive(body, request["headers"]["authorization"])
    except Exception:  # whatever it is, the sender is not LiveKit
        return {"statusCode": 401, "body": ""}
    if event.event != "participant_joined":
        return {"statusCode": 200, "body": ""}
    call = event.room.sid
    created_at = datetime.datetime.fromtimestamp(event.room.creation_time_ms / 1000, datetime.timezone.utc)
    folder = f"calls/{created_at:%Y-%m-%d}/{call}/"
    entry = json.dumps({"created_at": created_at.isoformat(), "room": event.room.name})
    done = f"{folder}events/{event.id}.json"
    if exists(done):
        return answer("replay")
    if not exists(f"index/{call}"):
        put_once(f"open/{call}", entry)
        put_once(f"index/{call}", entry)
    outcome = "job_present"
    if not exists(f"{folder}job.json"):
        job = json.dumps(
            {
                "version": 1,
                "call": call,
                "room": event.room.name,
                "created_at": created_at.isoformat(),
                "generation": 1,
                "profile": {"name": "reception"},
                "caller": event.participant.attributes.get("sip.phoneNumber"),
                "called": event.participant.attributes.get("sip.trunkPhoneNumber"),
                "participant": event.participant.identity,
            }
        )
        SQS.send_message(QueueUrl=QUEUE, MessageBody=job, MessageGroupId=call, MessageDeduplicationId=f"{call}:1")
        put_once(f"{folder}job.json", job)
        outcome = "job_enqueued"
    put_once(done, body)
    return answer(outcome)


def answer(outcome):
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps({"outcome": outcome})}


def exists(key):
    try:
        S3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return True
    except S3.exceptions.NoSuchKey:
        return False


def put_once(key, text):
    try:
        S3.put_object(Bucket=BUCKET, Key=key, Body=text.encode(), IfNoneMatch="*")
    except ClientError as error:
        if error.response["Error"]["Code"] != "PreconditionFailed":
            raise
