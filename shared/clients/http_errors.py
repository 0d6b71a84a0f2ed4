"""What httpx raises and what upstreams answer, as entries of the error catalogue."""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime

import httpx

from shared.errors import (
    OrchardError,
    UpstreamInvalid,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
)

MAX_RETRY_AFTER_SECONDS = 3600
DEFAULT_RETRY_AFTER_SECONDS = 10  # for a 429 that does not say


@contextlib.contextmanager
def as_orchard_errors(where: str) -> Iterator[None]:
    """httpx's errors, time-outs and failed name look-ups as ours. `where` names the source."""
    try:
        yield
    except (httpx.TimeoutException, TimeoutError):
        raise UpstreamTimeout(f"{where} did not answer in time") from None
    except httpx.RemoteProtocolError as error:
        raise UpstreamInvalid(f"{where} does not speak proper HTTP ({error})") from None
    except httpx.ReadError as error:
        raise UpstreamUnavailable(f"{where}: {error}") from None
    except httpx.ConnectError as error:
        raise UpstreamUnavailable(f"{where} could not be reached ({_short(error)})") from None
    except httpx.ProxyError as error:
        raise UpstreamUnavailable(f"{where}: {error}") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UpstreamInvalid(f"{where}: {type(error).__name__}") from None
    except OSError as error:
        raise UpstreamUnavailable(f"{where} could not be reached ({error.strerror or 'network'})") from None


def error_of_status(status: int, headers: Mapping[str, str], where: str) -> OrchardError | None:
    """The error that a status means, or None for what a caller handles itself: 2xx, 304, 404, 410, 416.

    401, 403 and 407 are a refusal, never a "not found": many registries hide a project from an
    expired token, and a client that is told 404 would take another registry's project instead.
    """
    if 200 <= status < 300 or status in (304, 404, 410, 416):
        return None
    text = f"{where} answered {status}"
    retry_after = retry_after_seconds(headers)
    if status in (401, 403, 407, 451):
        return UpstreamRefused(text)
    if status == 429:
        return UpstreamRateLimited(text, retry_after_seconds=retry_after or DEFAULT_RETRY_AFTER_SECONDS)
    if status >= 500 or status in (408, 425):
        return UpstreamUnavailable(text, retry_after_seconds=retry_after or None)
    return UpstreamInvalid(text)


def retry_after_seconds(headers: Mapping[str, str], now: float | None = None) -> int:
    """Seconds that Retry-After asks for, either form of RFC 9110 §10.2.3; 0 if absent, an hour at most."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:9]), MAX_RETRY_AFTER_SECONDS)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return 0
    if when.tzinfo is None:
        when = when.replace(tzinfo=datetime.UTC)
    left = when.timestamp() - (time.time() if now is None else now)
    return max(0, min(int(left + 0.999), MAX_RETRY_AFTER_SECONDS))


def _short(error: Exception) -> str:
    return str(error)[:120]
