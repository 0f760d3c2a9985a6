"""The samples of webhooks as events of now: a recorded one is refused, since its token has ended.

    python3 bench/samples.py participant_joined.sip.ringing > event.json

The rules: the body is the sample's but for ids and times, and is signed as livekit-server signs it (HS256, SHA-256 of the body in base64).
"""

import base64
import hashlib
import hmac
import json
import pathlib
import secrets
import string
import sys
import time

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
KEY = "devkey"
SECRET = "devsecret-devsecret-devsecret-0123456789"
_LETTERS = string.ascii_letters + string.digits


def new_id(prefix):
    """An id as LiveKit makes them."""
    return prefix + "".join(secrets.choice(_LETTERS) for _ in range(12))


def names():
    """Of all samples."""
    return sorted(path.stem for path in (REPOSITORY / "events/samples/webhooks").glob("*.json"))


def read(name):
    """The recorded event of a function URL."""
    return json.loads((REPOSITORY / f"events/samples/webhooks/{name}.json").read_text())


def token(claims):
    """A token of the key above, for five minutes."""
    now = int(time.time())
    claims = {"iss": KEY, "nbf": now, "iat": now, "exp": now + 300, **claims}
    parts = [_base64url(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signature = hmac.digest(SECRET.encode(), ".".join(parts).encode(), "sha256")
    return ".".join([*parts, _base64url(signature)])


def renewed(name, call=None, change=None):
    """The sample with a new id, the room's sid `call` (by default a new one) and today's times, signed again. `change` may alter the body."""
    event = read(name)
    body = json.loads(event["body"])
    now_ms = int(time.time() * 1000)
    body["id"] = new_id("EV_")
    body["createdAt"] = str(now_ms // 1000)
    call = call or new_id("RM_")
    if "room" in body:
        body["room"]["sid"] = call
        if "creationTime" in body["room"]:
            body["room"]["creationTime"] = str(now_ms // 1000)
            body["room"]["creationTimeMs"] = str(now_ms)
    if "egressInfo" in body:
        body["egressInfo"]["roomId"] = call
    if change:
        change(body)
    event["body"] = json.dumps(body)
    digest = hashlib.sha256(event["body"].encode()).digest()
    event["headers"]["authorization"] = token({"sha256": base64.b64encode(digest).decode()})
    event["headers"]["content-length"] = str(len(event["body"].encode()))
    event["requestContext"]["timeEpoch"] = now_ms
    event["isBase64Encoded"] = False
    return event


def request(method, path, body=None, bearer=None):
    """Any other event of a function URL or an HTTP API."""
    event = read("room_started")
    event["rawPath"] = event["requestContext"]["http"]["path"] = path
    event["requestContext"]["http"]["method"] = method
    event["headers"] = {"content-type": "application/json"}
    if bearer:
        event["headers"]["authorization"] = f"Bearer {bearer}"
    event["body"] = json.dumps(body) if body is not None else ""
    return event


def _base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in names():
        sys.exit("usage: samples.py NAME, one of: " + ", ".join(names()))
    json.dump(renewed(sys.argv[1]), sys.stdout, indent=1)
