"""What becomes of a job: who runs it, and what those who wait are told."""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.errors import ErrorValue
from shared.models import SourceHeaders

# All events go to one channel; a gateway holds one subscription and demultiplexes by job id (measured:
# 0.1 ms, against 90–170 ms for a subscription per request). Hints only: every wait also polls.
CHANNEL = "orchard:events"


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """The state of one job, published and kept for some seconds under `orchard:outcome:{job_id}`.

    live: bytes can be read from `address` with `token`; `size_bytes` if known.
    done: the result is in the cache (or, for `describe`, in `size_bytes`/`content_type`). Of a file that was
        `passed`, nothing is stored: its bytes can be read from `address` for some seconds, once more.
    failed: `error` says why; shared by all who wait.

    Of no job (`job_id` ""), and not kept:
    ahead: jobs of these `ids` are about to be put in though nobody asked (docs/decisions/0037).
    asked: now somebody did.
    """

    job_id: str
    kind: Literal["live", "done", "failed", "ahead", "asked"]
    generation: int
    address: str = ""  # host:port of the fetcher
    token: str = ""
    size_bytes: int | None = None
    content_type: str = ""
    source_headers: SourceHeaders = SourceHeaders()  # of a file that is described
    sha256: str = ""
    published: float = 0.0  # live, described, dated: when the file counts as published; 0: nobody asked
    judged: str = ""  # live, described: as in `Standing`
    error: ErrorValue | None = None
    value: bytes = b""  # done: the new cached value (facts) when small, saving a read
    passed: bool = False  # live, done: the file is verified and not stored, for the disk is short
    upstream_bytes: int | None = None  # done: of a guessed job, how many body bytes it took from upstream
    ids: tuple[str, ...] = ()


class Claim(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who runs a job now: written by the one Lua call that claims it, read by gateways."""

    generation: int
    address: str
    token: str
