"""One request over HTTP/2: its body, and the forms of its response."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from h2.settings import SettingCodes

from services.fetcher.http.manager import HttpClientManager
from shared.errors import OrchardError
from shared.errors.passing import UpstreamTimeout, UpstreamUnavailable
from shared.models import UpstreamSource
from tests.services.fetcher.http.conftest import BODY, HTTP2, get
from tests.support.http2_upstream import (
    Http2Server,
    Http2Upstream,
    OnRequest,
    once,
)
from tests.support.upstream import Fault

pytestmark = HTTP2


@pytest_asyncio.fixture
async def manager() -> AsyncIterator[HttpClientManager]:
    async with HttpClientManager(connect_timeout_seconds=5, read_timeout_seconds=2) as opened:
        yield opened


# --- bodies of requests -------------------------------------------------------------------------------------


async def test_body__larger_than_the_windows__sent_as_they_open(
    upstream: Http2Upstream, manager: HttpClientManager
) -> None:
    content = bytes(range(256)) * 4096
    assert await get(manager, upstream, method="POST", content=content) == (200, BODY)
    assert upstream.requests[0].body == content


def _refuses_body(server: Http2Server, stream_id: int) -> bool:
    server.h2.send_headers(stream_id, [(":status", "413")], end_stream=True)
    return True


async def test_body__answered_early__the_rest_is_not_sent(
    upstream: Http2Upstream, manager: HttpClientManager
) -> None:
    upstream.settings = {SettingCodes.INITIAL_WINDOW_SIZE: 0}
    await get(manager, upstream)  # the settings are known
    upstream.on_request = _refuses_body
    assert await get(manager, upstream, method="POST", content=bytes(1 << 20)) == (413, b"")
    upstream.on_request = lambda server, stream_id: False
    assert await get(manager, upstream) == (200, BODY)
    assert upstream.connections == 1


async def test_body__its_window_never_opens__timeout_and_the_connection_is_used_again(
    upstream: Http2Upstream, manager: HttpClientManager
) -> None:
    upstream.settings = {SettingCodes.INITIAL_WINDOW_SIZE: 10}
    await get(manager, upstream)
    upstream.on_request = once(lambda server, stream_id: True)
    with pytest.raises(UpstreamTimeout):
        await get(manager, upstream, method="POST", content=bytes(1000))
    assert await get(manager, upstream) == (200, BODY)
    assert upstream.connections == 1


# --- forms of responses -------------------------------------------------------------------------------------


def _answers(*steps: tuple[str, object]) -> OnRequest:
    def on_request(server: Http2Server, stream_id: int) -> bool:
        for kind, value in steps:
            match kind:
                case "head" | "trailers" | "last head":
                    ends = kind != "head"
                    server.h2.send_headers(stream_id, value, end_stream=ends)  # type: ignore[arg-type]
                case "padded":
                    server.h2.send_data(stream_id, value, pad_length=200)  # type: ignore[arg-type]
                case "last":
                    server.h2.send_data(stream_id, value, end_stream=True)  # type: ignore[arg-type]
        return True

    return on_request


OK = [(":status", "200")]
LONG = [(":status", "200"), ("content-length", "5")]


@pytest.mark.parametrize(
    ("does", "expected"),
    [
        (_answers(("head", [(":status", "103")]), ("head", OK), ("last", b"body")), (200, b"body")),
        (_answers(("head", OK), ("padded", b"bo"), ("padded", b"dy"), ("last", b"")), (200, b"body")),
        (_answers(("head", OK), ("padded", b"body"), ("trailers", [("x-a", "1")])), (200, b"body")),
        (_answers(("last head", OK)), (200, b"")),
        (_answers(("head", [(":status", "304"), ("content-length", "9")]), ("last", b"")), (304, b"")),
        (_answers(("last head", [(":status", "304"), ("content-length", "9")])), (304, b"")),
        (_answers(("head", LONG), ("last", b"four")), UpstreamUnavailable),
        (_answers(("head", LONG), ("last", b"sixsix")), UpstreamUnavailable),
        (_answers(("last head", LONG)), UpstreamUnavailable),
    ],
)
async def test_response__of_any_form__is_read_or_its_own_stream_fails(
    upstream: Http2Upstream,
    manager: HttpClientManager,
    does: OnRequest,
    expected: tuple[int, bytes] | type[OrchardError],
) -> None:
    upstream.on_request = once(does, at=2)
    beside = asyncio.create_task(get(manager, upstream))
    while not upstream.requests:
        await asyncio.sleep(0.01)
    if isinstance(expected, tuple):
        assert await get(manager, upstream) == expected
    else:
        with pytest.raises(expected):
            await get(manager, upstream)
    assert await beside == (200, BODY)
    assert await get(manager, upstream) == (200, BODY)
    assert upstream.connections == 1


async def test_body__without_a_length__its_end_is_marked(
    upstream: Http2Upstream, manager: HttpClientManager
) -> None:
    upstream.fault("/file", Fault(no_length=True))
    source = UpstreamSource(1, "pypi", "test", f"{upstream.url}/simple/")
    async with manager.stream(source, upstream.url + "/file") as response:
        assert response.content_length is None and response.delimited
