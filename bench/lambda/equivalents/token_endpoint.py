"""The token endpoint as one would write it in Python, with livekit-api.

Left out, in Python's favour: JWT of identity providers, most of the policy, CORS, rate limits, problem details, the log.
"""

import base64
import datetime
import hmac
import json
import os
import secrets

from livekit import api

KEY = os.environ["ACCESS_KEY"]
URL = os.environ["LIVEKIT_URL"]
API_KEY, API_SECRET = os.environ["LIVEKIT_API_KEY"], os.environ["LIVEKIT_API_SECRET"]
TTL = datetime.timedelta(minutes=10)


def handler(request, _context):
    bearer = request["headers"].get("authorization", "").removeprefix("Bearer ")
    if not hmac.compare_digest(bearer.encode(), KEY.encode()):
        return {"statusCode": 401, "body": ""}
    body = request.get("body") or "{}"
    if request.get("isBase64Encoded"):
        body = base64.b64decode(body).decode()
    wanted = json.loads(body)
    room = wanted.get("room_name") or f"room-{secrets.token_hex(8)}"
    identity = wanted.get("participant_identity") or f"participant-{secrets.token_hex(8)}"
    grants = api.VideoGrants(room_join=True, room=room, can_publish=True, can_subscribe=True)
    token = api.AccessToken(API_KEY, API_SECRET).with_identity(identity).with_grants(grants).with_ttl(TTL).to_jwt()
    answer = {"server_url": URL, "participant_token": token}
    headers = {"content-type": "application/json", "cache-control": "no-store"}
    return {"statusCode": 201, "headers": headers, "body": json.dumps(answer)}
