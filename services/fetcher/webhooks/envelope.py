"""An event as it is sent: CloudEvents 1.0 over HTTP, signed as Standard Webhooks says. Pure.

CloudEvents: version 1.0.2, and its HTTP Protocol Binding. Standard Webhooks:
`webhook-id`, `webhook-timestamp`, and `webhook-signature` over `id.timestamp.body`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec

PREFIX = "whsec_"
STRUCTURED = "application/cloudevents+json; charset=utf-8"
_VISIBLE = "".join(chr(each) for each in range(0x21, 0x7F) if chr(each) not in '"%')


class Outgoing(msgspec.Struct, frozen=True):
    """One event for one webhook. `id`: the same at each try and for each webhook. `at`: unix seconds."""

    id: str
    at: float
    type: str
    subject: str
    data: Any


def requested(
    event: Outgoing, source: str, mode: str, secret: str, now: float
) -> tuple[dict[str, str], bytes]:
    """Headers and body of the request. `mode`: structured or binary. `now`: unix seconds, which the receiver
    compares with its clock. Raises `ValueError` for a damaged secret, which it does not tell."""
    when = datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    context = {"specversion": "1.0", "id": event.id, "source": source, "type": event.type, "time": when}
    if event.subject:
        context["subject"] = event.subject
    if mode == "binary":
        body, headers = msgspec.json.encode(event.data), {"content-type": "application/json"}
        headers |= {f"ce-{name}": quote(value, safe=_VISIBLE) for name, value in context.items()}
    else:
        body = msgspec.json.encode({**context, "datacontenttype": "application/json", "data": event.data})
        headers = {"content-type": STRUCTURED}
    stamp = str(int(now))
    signed = hmac.digest(key_of(secret), f"{event.id}.{stamp}.".encode() + body, hashlib.sha256)
    return {
        **headers,
        "webhook-id": event.id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }, body


def key_of(secret: str) -> bytes:
    """The key that `whsec_…` writes. Raises `ValueError`."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if not secret.startswith(PREFIX) or not 24 <= len(key) <= 64:
        raise ValueError("its secret is damaged")
    return key
