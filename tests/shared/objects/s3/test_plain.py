"""GETs over sockets: kept connections, responses that are no object's, servers that end or lie."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator

import pytest

from shared.objects.port import artifact_key
from shared.objects.s3.config import S3Config
from shared.objects.s3.plain import BrokenOff, PlainBody, PlainPool, request_of
from shared.objects.s3.store import S3ObjectStore
from shared.process.threads import BoundedThreads

DATA = bytes(range(256)) * 2_000
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Y: z\r\n\r\n" % len(DATA) + DATA
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"%x\r\n" % len(DATA) + DATA + b"\r\n0\r\n\r\n"
)


class Server:
    """Answers each request with the next of `answers` (the last one for ever); `then_ends` after each."""

    def __init__(self, *answers: bytes, then_ends: bool = False) -> None:
        self.answers = list(answers)
        self.then_ends = then_ends
        self.connections = 0
        self.requests: list[bytes] = []
        self.port = 0
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        while self._open:  # until each has seen its end
            await asyncio.sleep(0.001)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
                await writer.drain()
                if self.then_ends:
                    break
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        self._open.discard(writer)


@contextlib.asynccontextmanager
async def pool_of(server: Server) -> AsyncIterator[PlainPool]:
    pool = PlainPool("127.0.0.1", server.port, connections=4)
    yield pool
    pool.close()


async def begun(pool: PlainPool, held: contextlib.AsyncExitStack) -> PlainBody:
    body = await pool.begin(
        request_of("/bucket/x?y=%2Fz", "store.example.com:9000", {"Range": "bytes=0-"}), held
    )
    assert body is not None
    return body


async def got(pool: PlainPool) -> bytes:
    async with contextlib.AsyncExitStack() as held:
        body = await begun(pool, held)
        pieces = []
        while piece := await body.read():
            pieces.append(piece)
        return b"".join(pieces)


async def test_gets__one_after_the_other__over_one_connection() -> None:
    async with Server(WHOLE) as server, pool_of(server) as pool:
        assert [await got(pool) for _ in range(3)] == [DATA] * 3
        assert server.connections == 1
        assert server.requests[0] == (
            b"GET /bucket/x?y=%2Fz HTTP/1.1\r\nHost: store.example.com:9000\r\nRange: bytes=0-\r\n\r\n"
        )


@pytest.mark.parametrize(
    ("answer", "then_ends"),
    [
        (WHOLE, True),
        (WHOLE + b"HTTP/1.1 408 Request Timeout\r\n\r\n", False),  # nobody has asked for that
        (WHOLE.replace(b"X-Y: z", b"Connection: Close"), False),
    ],
)
async def test_kept_connection__ended_or_spoilt_meanwhile__another_one_is_made(
    answer: bytes, then_ends: bool
) -> None:
    async with Server(answer, then_ends=then_ends) as server, pool_of(server) as pool:
        assert await got(pool) == DATA
        await asyncio.sleep(0.05)  # the end, or what came unasked, arrives
        assert await got(pool) == DATA
        assert server.connections == 2


async def test_body__not_taken_whole__its_connection_is_used_no_more() -> None:
    begins = WHOLE[:100_000]  # the rest would come later, as the beginning of the next response
    async with Server(begins, WHOLE) as server, pool_of(server) as pool:
        async with contextlib.AsyncExitStack() as held:
            body = await begun(pool, held)
            assert (body.status, body.header("x-Y"), body.header("none")) == (200, "z", "")
            read = 0
            while read < len(begins) - 100:
                read += len(await body.read())
        assert await got(pool) == DATA
        assert server.connections == 2


async def test_body__ends_too_soon__is_broken_off() -> None:
    async with Server(WHOLE[:-1], then_ends=True) as server, pool_of(server) as pool:
        with pytest.raises(BrokenOff):
            await got(pool)


async def test_pool_closed__who_reads_is_broken_off() -> None:
    async with Server(WHOLE[:-1]) as server, pool_of(server) as pool:
        reading = asyncio.create_task(got(pool))
        while not server.requests:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        pool.close()
        with pytest.raises(OSError, match="ended"):
            await reading


async def test_error__its_document_is_read_with_a_length_or_without() -> None:
    document = b"<Error><Code>SlowDown</Code></Error>"
    for framing in (b"Content-Length: %d" % len(document), b"Transfer-Encoding: chunked"):
        answer = b"HTTP/1.1 503 Slow Down\r\n" + framing + b"\r\n\r\n" + document
        async with Server(answer) as server, pool_of(server) as pool, contextlib.AsyncExitStack() as held:
            body = await begun(pool, held)
            assert (body.status, document in await body.read_error()) == (503, True)


@pytest.mark.parametrize(
    "answer",
    [
        CHUNKED,
        WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + DATA,
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
    ],
)
async def test_answer_that_is_not_understood__is_left_to_somebody_else(answer: bytes) -> None:
    async with Server(answer) as server, pool_of(server) as pool, contextlib.AsyncExitStack() as held:
        assert await pool.begin(request_of("/x", "h", {}), held) is None


async def test_store__whose_server_sends_chunks__is_read_by_the_library_from_then_on() -> None:
    threads = BoundedThreads(1)
    async with Server(CHUNKED) as server:
        config = S3Config(
            endpoint=f"http://127.0.0.1:{server.port}", bucket="b", access_key="a", secret_key="s" * 8
        )
        store = S3ObjectStore(config, threads)
        await store.open()
        key = artifact_key(hashlib.sha256(DATA).hexdigest())
        for _ in range(2):
            assert b"".join([chunk async for chunk in store.open_stream(key)]) == DATA
        assert len(server.requests) == 3
        await store.aclose()
    await threads.aclose()
