"""Feeds of advisories and the quarantine, as the API under /api/v1/admin tells them."""

from __future__ import annotations

import msgspec


class FeedEntry(msgspec.Struct, frozen=True):
    """One feed. Times in unix seconds; null: never."""

    feed: str  # without credentials
    advisories: int  # that count
    left_out: int  # documents that are about nothing that is served here, or damaged
    read_at: float | None  # since when these count
    confirmed_at: float | None  # when it last said so
    fault: str  # why what it has now does not count; "": it does


class AcceptedFeed(msgspec.Struct, frozen=True):
    """Which feed may be smaller."""

    feed: str


class QuarantineEntry(msgspec.Struct, frozen=True):
    """A stored file that is malware."""

    sha256: str
    purl: str
    protocol: str
    project: str
    version: str
    filename: str
    advisory: str
    since: float
    size_bytes: int
