"""Signed callbacks: Standard Webhooks 1.0, symmetric signatures of version 1."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime

from waybill_runtime.http.problem import Refused

TOLERANCE_S = 300
ID_LENGTH_MAX = 200


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> str:
    """The id of a callback that the holder of the secret signed within the last five minutes.

    Raises:
        Refused: 401, it did not.
    """
    id_ = headers.get("webhook-id", "")
    sent = headers.get("webhook-timestamp", "")
    given = headers.get("webhook-signature", "")
    if not 1 <= len(id_) <= ID_LENGTH_MAX or not (sent.isascii() and sent.isdigit()):
        raise _refused("Send Webhook-Id, Webhook-Timestamp and Webhook-Signature.")
    if len(sent) > 12 or abs(now.timestamp() - int(sent)) > TOLERANCE_S:
        raise _refused(f"Webhook-Timestamp is more than {TOLERANCE_S} seconds away from now.")
    wanted = sign(secret, id_, sent, body).encode()
    matches = [hmac.compare_digest(one.encode(), wanted) for one in given.split(" ")]
    if not any(matches):
        raise _refused("Webhook-Signature does not match the body under the secret.")
    return id_


def sign(secret: str, id_: str, timestamp: str, body: bytes) -> str:
    """The signature of a callback."""
    digest = hmac.new(_key(secret), f"{id_}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(digest.digest()).decode()


def _key(secret: str) -> bytes:
    """`whsec_<base64>` is the scheme's own form; any other text is taken as it stands."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise ValueError("a whsec_ secret must be base64 after its prefix") from error


def _refused(detail: str) -> Refused:
    return Refused(401, "invalid-signature", detail)
