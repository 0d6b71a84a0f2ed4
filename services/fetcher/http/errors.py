"""Translates httpx's exceptions and upstreams' statuses, with their Retry-After, into entries of the error
catalogue.
"""

from __future__ import annotations

import contextlib
import math
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping

import aiohttp
import httpx

from shared.errors import LastingError, OrchardError, UpstreamInvalid, UpstreamUntrusted
from shared.errors.foreign import causes, own_lack, reason_of
from shared.errors.passing import PassingError, UpstreamRateLimited, UpstreamTimeout, UpstreamUnavailable
from shared.http.headers import date_seconds
from shared.sources.answers import meaning

MAX_RETRY_AFTER_SECONDS = 600
"""What is asked for beyond this is cut: a mistake upstream must not close anything for hours, and one
more question every ten minutes is no burden."""

_SECONDS = re.compile(r"(\d{1,400})(?:\.\d{0,400})?", re.ASCII)


def retry_after_seconds(headers: Mapping[str, str], now: float | None = None) -> int:
    """Seconds that Retry-After asks for, either form of RFC 9110 §10.2.3, `MAX_RETRY_AFTER_SECONDS` at
    most; 0 if it is absent, over, or says nothing that can be understood.

    A fraction is rounded up. `now` is the Unix time that a date is compared with.
    """
    text = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text):
        return math.ceil(min(float(text), MAX_RETRY_AFTER_SECONDS))
    when = date_seconds(text)
    if when is None:
        return 0
    left = when - (time.time() if now is None else now)
    return math.ceil(max(0.0, min(left, float(MAX_RETRY_AFTER_SECONDS))))


DEFAULT_RETRY_AFTER_SECONDS = 10  # seconds for a 429 without Retry-After


@contextlib.contextmanager
def as_orchard_errors(where: str, waited: Callable[[], float] | None = None) -> Iterator[None]:
    """httpx's errors, time-outs and failed name look-ups as ours. `where` names the source.

    `about_host` is set where nothing of the host can be had. What this process itself lacks
    (descriptors, memory, threads) is a `PassingError` that says so, never an upstream's failure.
    `waited`: for how many seconds nothing has come; by default since this was entered.
    """
    started = time.monotonic()
    try:
        yield
    except (OSError, httpx.HTTPError, MemoryError, RuntimeError) as error:
        tls = _tls_fault(error, where)
        if tls is not None:
            raise _about_host(tls) from None
        lacking = own_lack(error)
        if lacking:
            raise PassingError(f"{where} was not asked: {lacking}") from None
        if isinstance(error, (MemoryError, RuntimeError)):
            raise
        seconds = waited() if waited is not None else time.monotonic() - started
        raise _translated(error, where, seconds) from None
    except httpx.InvalidURL as error:
        raise UpstreamInvalid(f"{where}: {type(error).__name__}") from None


def _translated(error: OSError | httpx.HTTPError, where: str, seconds: float) -> OrchardError:
    silent = f"{where} sent nothing for {seconds:.3g} s"
    match error:
        case httpx.ConnectTimeout():
            return _about_host(UpstreamTimeout(f"{where} took no connection within {seconds:.3g} s"))
        case httpx.TimeoutException() | TimeoutError():
            return UpstreamTimeout(silent)
        case httpx.RemoteProtocolError():
            return UpstreamInvalid(f"{where} does not speak proper HTTP ({reason_of(error)})")
        case httpx.ReadError():
            return UpstreamUnavailable(f"{where}: {reason_of(error)}")
        case httpx.ConnectError():
            return _about_host(UpstreamUnavailable(f"{where} could not be reached ({reason_of(error)})"))
        case httpx.ProxyError():
            return _about_host(UpstreamUnavailable(f"{where}: {reason_of(error)}"))
        case httpx.HTTPError():
            return UpstreamInvalid(f"{where}: {type(error).__name__}")
        case _:
            text = f"{where} could not be reached ({reason_of(error)})"
            return _about_host(UpstreamUnavailable(text))


_PASSING_TLS = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError, ssl.SSLWantReadError)


def _tls_fault(error: BaseException, where: str) -> OrchardError | None:
    """The error for a lasting TLS failure: an untrusted certificate, another protocol or version; None for a
    cut."""
    for cause in causes(error):
        if not isinstance(cause, ssl.SSLError) or isinstance(cause, (aiohttp.ClientError, *_PASSING_TLS)):
            continue
        host = next((found for each in causes(error) if (found := getattr(each, "host", ""))), "its host")
        if isinstance(cause, ssl.SSLCertVerificationError):
            what = f"the certificate of {host} is not trusted ({cause.verify_message or cause.reason})"
        else:
            what = f"TLS with {host} fails ({cause.reason or 'no common version'})"
        return UpstreamUntrusted(f"{where}: {what}; ORCHARD_CA_FILE says whom to trust")
    return None


def _about_host(error: OrchardError) -> OrchardError:
    error.about_host = True
    return error


def answered(where: str, status: int, words: str = "") -> str:
    """The message of an error that a status means."""
    return f"{where} answered {status}" + (f": {words}" if words else "")


def error_of_status(
    status: int, headers: Mapping[str, str], where: str, words: str = ""
) -> OrchardError | None:
    """The error that a status means (shared/sources/answers.py), or None for what a caller handles itself:
    200, 203, 206, 304, 404, 410, 416. `words`: the upstream's own, for a refusal.

    401, 403 and 407 are a refusal, never a "not found": many registries hide a project from an
    expired token, and a client that gets 404 would take another registry's project instead.
    """
    means = meaning(status)
    if isinstance(means, str):
        return None
    text = answered(where, status, words)
    if issubclass(means, LastingError):
        return means(text)
    retry_after = retry_after_seconds(headers)
    asked_to_wait = retry_after > 0 or means is UpstreamRateLimited
    if means is UpstreamRateLimited:
        retry_after = retry_after or DEFAULT_RETRY_AFTER_SECONDS
    error = means(text, retry_after_seconds=retry_after or None)
    error.asked_to_wait = asked_to_wait
    return error
