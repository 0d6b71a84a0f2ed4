"""Translates errors and time-outs of an S3 server: missing, or unavailable for now.

Nothing here is for ever: full disks are emptied, credentials renewed, clocks set. So each is 503 with
Retry-After, and the next request asks the store again. Messages name the cause and hold no secret.
"""

from __future__ import annotations

import re
import time

from shared.errors.passing import ObjectMissing, StoreUnavailable
from shared.http.headers import date_seconds

FULL_RETRY_SECONDS = 10
MOST_SKEW_SECONDS = 600.0  # below, a refusal has another cause
_CODE = re.compile(rb"<Code>([A-Za-z0-9]{1,64})</Code>")

_CREDENTIALS = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AccessDenied",
    "ExpiredToken",
    "InvalidToken",
    "AuthorizationHeaderMalformed",
    "Forbidden",
}
_CLOCK = {"RequestTimeTooSkewed", "RequestExpired", "RequestNotReadyYet"}
_FULL = {"InsufficientStorage", "XMinioStorageFull", "StorageFull", "QuotaExceeded", "XAmzQuotaExceeded"}
_RETRIED_STATUS = {429, 500, 502, 503, 504}


class BucketMissing(StoreUnavailable):
    """The server answers, but has no such bucket."""


class CredentialsRefused(StoreUnavailable):
    """The server knows neither these keys nor this signature, or allows them nothing."""


class ClocksDiffer(StoreUnavailable):
    """The server takes our signatures for old ones, or for ones to come."""


def code_of(status: int, body: bytes) -> str:
    """The S3 error code of a response (REST error responses, `<Code>`), or what its status says."""
    found = _CODE.search(body[:4096])
    if found is not None:
        return found[1].decode()
    return {403: "Forbidden", 404: "NoSuchKey", 507: "InsufficientStorage"}.get(status, "")


def is_worth_a_retry(status: int) -> bool:
    """Whether the same request may well succeed in a moment."""
    return status in _RETRIED_STATUS


def skew_of(date: str) -> float | None:
    """How many seconds a server's clock is ahead of ours, by the Date of its answer; None if it says none."""
    seconds = date_seconds(date)
    return None if seconds is None else seconds - time.time()


def as_error(what: str, status: int, code: str, skew_seconds: float | None = None) -> StoreUnavailable:
    """The error for a refused request. `what` says what was tried, such as "GET artifacts/…".

    `skew_seconds` as from `skew_of`: servers refuse what was signed by a clock that is far from theirs
    (15 minutes for a signature in headers), and not all of them say that it was the clock.
    """
    if code == "NoSuchBucket":
        return BucketMissing("the object store has no such bucket (ORCHARD_S3_BUCKET)")
    if status == 404 and code in ("NoSuchKey", ""):
        return ObjectMissing(f"object missing at {what}")
    skewed = skew_seconds is not None and abs(skew_seconds) > MOST_SKEW_SECONDS
    refused = code in _CREDENTIALS or status in (401, 403)
    if code in _CLOCK or (refused and skewed):
        return ClocksDiffer(
            "the object store refuses our signature because of the time: the clocks of this machine and "
            f"of the store differ{_by(skew_seconds)}",
            retry_after_seconds=FULL_RETRY_SECONDS,
        )
    if refused:
        return CredentialsRefused(
            f"the object store refuses our credentials ({code or status}): see ORCHARD_S3_ACCESS_KEY and "
            "ORCHARD_S3_SECRET_KEY",
            retry_after_seconds=FULL_RETRY_SECONDS,
        )
    if status == 507 or code in _FULL:
        return StoreUnavailable(f"the object store is full ({what})", retry_after_seconds=FULL_RETRY_SECONDS)
    return StoreUnavailable(f"the object store answered {status} {code} at {what}")


def _by(skew_seconds: float | None) -> str:
    if skew_seconds is None or abs(skew_seconds) < 2:
        return ""
    return f" by {abs(skew_seconds):.0f} s (the store's is {'ahead' if skew_seconds > 0 else 'behind'})"
