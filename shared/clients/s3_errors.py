"""What an S3 server's refusals and silences mean to Orchard: missing, or unavailable for now.

Nothing here is for ever: full disks are emptied, credentials renewed, clocks set. So each is 503 with
Retry-After, and the next request asks the store again. Messages name the cause and hold no secret.
"""

from __future__ import annotations

import re

from shared.errors import ObjectMissing, StoreUnavailable

FULL_RETRY_SECONDS = 10
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
_FULL = {"InsufficientStorage", "XMinioStorageFull", "StorageFull", "QuotaExceeded", "XAmzQuotaExceeded"}
_RETRIED_STATUS = {429, 500, 502, 503, 504}


class BucketMissing(StoreUnavailable):
    """The server answers, but has no such bucket."""


class CredentialsRefused(StoreUnavailable):
    """The server knows neither these keys nor this signature, or allows them nothing."""


def code_of(status: int, body: bytes) -> str:
    """The S3 error code of a response (REST error responses, `<Code>`), or what its status says."""
    found = _CODE.search(body[:4096])
    if found is not None:
        return found[1].decode()
    return {403: "Forbidden", 404: "NoSuchKey", 507: "InsufficientStorage"}.get(status, "")


def is_worth_a_retry(status: int) -> bool:
    """Whether the same request may well succeed in a moment."""
    return status in _RETRIED_STATUS


def as_error(what: str, status: int, code: str) -> StoreUnavailable:
    """The error for a refused request. `what` says what was tried, such as "GET artifacts/…"."""
    if code == "NoSuchBucket":
        return BucketMissing("the object store has no such bucket (ORCHARD_S3_BUCKET)")
    if status == 404 and code in ("NoSuchKey", ""):
        return ObjectMissing(f"object missing at {what}")
    if code in ("RequestTimeTooSkewed", "RequestExpired"):
        return StoreUnavailable(
            "the object store refuses our signature because of the time: the clocks of this machine and "
            "of the store differ",
            retry_after_seconds=FULL_RETRY_SECONDS,
        )
    if code in _CREDENTIALS or status in (401, 403):
        return CredentialsRefused(
            f"the object store refuses our credentials ({code or status}): see ORCHARD_S3_ACCESS_KEY and "
            "ORCHARD_S3_SECRET_KEY",
            retry_after_seconds=FULL_RETRY_SECONDS,
        )
    if status == 507 or code in _FULL:
        return StoreUnavailable(f"the object store is full ({what})", retry_after_seconds=FULL_RETRY_SECONDS)
    return StoreUnavailable(f"the object store answered {status} {code} at {what}")
