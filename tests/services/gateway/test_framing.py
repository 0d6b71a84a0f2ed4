"""Where one request ends and the next begins: nothing that a body holds is ever answered as a request."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import socket

from tests.services.gateway.conftest import Stores
from tests.support.gateway import GatewayProcess

SMUGGLED = b"GET /pypi/simple/smuggled/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
REQUESTS = {
    # RFC 9112 §6.1: both at once; a server that takes the length sees a second request.
    "length and chunks": (b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", CHUNKED),
    "two lengths": (b"Content-Length: 0\r\nContent-Length: %d\r\n" % len(SMUGGLED), SMUGGLED),
    "signed length": (b"Content-Length: +%d\r\n" % len(SMUGGLED), SMUGGLED),
    "hexadecimal length": (b"Content-Length: 0x%x\r\n" % len(SMUGGLED), SMUGGLED),
    "listed lengths": (b"Content-Length: 0, %d\r\n" % len(SMUGGLED), SMUGGLED),
    "unknown coding": (b"Transfer-Encoding: xchunked\r\n", CHUNKED),
    "chunked twice": (b"Transfer-Encoding: chunked, chunked\r\n", CHUNKED),
    "space before the colon": (b"Transfer-Encoding : chunked\r\n", CHUNKED),
    "folded": (b"Transfer-Encoding:\r\n chunked\r\n", CHUNKED),
    "bare line feed": (b"X: y\nTransfer-Encoding: chunked\r\n", CHUNKED),
    "overlong chunk size": (
        b"Transfer-Encoding: chunked\r\n",
        b"1" + b"0" * 16 + b"\r\n" + SMUGGLED,
    ),
    "plain body of a GET": (b"Content-Length: %d\r\n" % len(SMUGGLED), SMUGGLED),
    "plain chunks of a GET": (b"Transfer-Encoding: chunked\r\n", CHUNKED),
}


PATHS = [b"/pypi/simple/flask/", b"/health/live", b"/nothing"]


def _statuses(port: int, request: bytes) -> list[int]:
    """Of all answers that come within half a second."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        connection.settimeout(0.5)
        connection.sendall(request)
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while piece := connection.recv(65536):
                answer += piece
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3})", answer)]


async def test_framing__ambiguous__at_most_one_answer_and_no_500(
    gateway: GatewayProcess, stores: Stores
) -> None:
    await stores.put_index("flask")
    await stores.put_index("smuggled")
    for (name, (header, body)), path in itertools.product(REQUESTS.items(), PATHS):
        request = b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n%s" % (path, header, body)
        statuses = await asyncio.to_thread(_statuses, gateway.port, request)
        assert len(statuses) <= 1, (name, path, statuses)
        assert not [status for status in statuses if status >= 500], (name, path, statuses)
    assert "/pypi/simple/smuggled" not in gateway.output()
