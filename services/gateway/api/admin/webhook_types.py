"""Webhooks, as the API under /api/v1/admin tells them. No answer holds a secret but that which makes one."""

from __future__ import annotations

from typing import Literal

import msgspec

from services.gateway.api.types import Input

Mode = Literal["structured", "binary"]


class NewWebhook(Input, frozen=True):
    """A target to make. `secret`: whsec_ and 24 to 64 bytes in base64; "": one is made."""

    name: str
    url: str
    types: list[str] = msgspec.field(default_factory=lambda: ["*"])  # whole, or up to a * at the end
    secret: str = ""
    mode: Mode = "structured"  # of CloudEvents over HTTP
    allow_private: bool = False  # may lie at a private or loopback address


class WebhookChange(Input, frozen=True):
    """Paused by hand, or delivered again with all that waits."""

    paused: bool


class Webhook(msgspec.Struct, frozen=True):
    """A target. `url` without its query, which may hold a key of the receiver."""

    id: int
    name: str
    url: str
    types: list[str]
    mode: str
    allow_private: bool
    paused: str  # "": delivered; "operator", "dead" (failed for too long), "gone" (answered 410)
    failing_since: float | None  # unix seconds; None: it does not
    fault: str  # of the last try that failed; "" after a delivery
    tries: int  # that failed since the last delivery
    waiting: int  # events
    delivered: int
    dropped: int  # refused by the receiver, too many or too old
    delivered_at: float | None  # unix seconds
    created_at: float
    created_by: str


class MadeWebhook(msgspec.Struct, frozen=True):
    """`secret`: what was made; it is in this answer and nowhere else. "": the one that was given."""

    webhook: Webhook
    secret: str
