"""Whatever an upstream writes into Retry-After, a bounded number of seconds comes out; a lost connection is
trouble that passes."""

from __future__ import annotations

import aiohttp
import pytest

from services.fetcher.http.errors import MAX_RETRY_AFTER_SECONDS as MOST
from services.fetcher.http.errors import as_orchard_errors, error_of_status, retry_after_seconds
from services.fetcher.http.http1 import as_httpx
from shared.errors.passing import UpstreamUnavailable

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT

TABLE = [
    ("0", 0),
    ("1", 1),
    (" 30 ", 30),
    ("1.2", 2),
    ("1.", 1),
    ("007", 7),
    ("599", 599),
    ("3600", MOST),
    ("9" * 300, MOST),
    ("9" * 5000, 0),
    ("-1", 0),
    ("+5", 0),
    ("1e3", 0),
    ("0x10", 0),
    ("inf", 0),
    ("nan", 0),
    ("30 s", 0),
    ("30, 60", 0),
    ("٣", 0),
    ("²", 0),
    ("", 0),
    ("soon", 0),
    ("\x00", 0),
    ("Tue, 14 Nov 2023 22:13:50 GMT", 30),
    ("Tuesday, 14-Nov-23 22:13:50 GMT", 30),
    ("Tue Nov 14 22:13:50 2023", 30),
    ("Tue, 14 Nov 2023 23:13:50 +0100", 30),
    ("Tue, 14 Nov 2023 22:13:20 GMT", 0),
    ("Tue, 14 Nov 2023 22:13:19 GMT", 0),
    ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
    ("Mon, 01 Jan 0001 00:00:00 +2359", 0),
    ("Fri, 31 Dec 9999 23:59:59 GMT", MOST),
    ("Fri, 31 Dec 9999 23:59:59 -2359", MOST),
    ("Wed, 21 Oct 99999999999 07:28:00 GMT", 0),
    ("Wed, 21 Oct 2015 99:28:00 GMT", 0),
    ("Wed, 32 Oct 2030 07:28:00 GMT", 0),
    ("Wed, 21 Oct 2030 07:28:00 +99999999999", 0),
    ("Wed, 21 Oct " + "9" * 5000 + " 07:28:00 GMT", 0),
]


@pytest.mark.parametrize(("text", "seconds"), TABLE, ids=[repr(text[:40]) for text, _ in TABLE])
def test_retry_after__any_text__bounded_seconds_or_none(text: str, seconds: int) -> None:
    assert retry_after_seconds({"retry-after": text}, NOW) == seconds


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("text", [text for text, _ in TABLE], ids=lambda text: repr(text[:40]))
def test_error_of_status__any_retry_after__tells_a_bounded_time(text: str, status: int) -> None:
    error = error_of_status(status, {"retry-after": text}, "upstream a")
    assert error is not None and 1 <= error.retry_after_seconds <= MOST


LOST = [
    aiohttp.ClientConnectionResetError("Cannot write to closing transport"),
    aiohttp.ClientConnectionError("Connection closed"),
    aiohttp.ClientOSError(104, "Connection reset by peer"),
    aiohttp.ServerDisconnectedError(),
    aiohttp.ClientPayloadError("cut"),
]


@pytest.mark.parametrize("lost", LOST, ids=[type(each).__name__ for each in LOST])
def test_lost_connection__passes(lost: Exception) -> None:
    with pytest.raises(UpstreamUnavailable), as_orchard_errors("upstream pypi"), as_httpx():
        raise lost
