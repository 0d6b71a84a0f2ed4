"""A response from an S3 server whose body is still to be read: over plain HTTP, or over TLS by aiohttp."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Protocol, Self

import aiohttp
import yarl

from shared.clients.object_port import STREAM_CHUNK_BYTES
from shared.clients.s3_plain import PlainConnection, PlainPool, request_of

CONNECT_SECONDS = 2.0
BODY_SILENCE_SECONDS = 10.0  # without a byte of a body that is wanted
BODY_ERRORS = (aiohttp.ClientError, TimeoutError, OSError)
_ERROR_BYTES = 4096


class S3Body(Protocol):
    """A response whose body is still to be read."""

    status: int

    def header(self, name: str) -> str:
        """A header's value, "" if it is not there; `name` in lower case."""
        ...

    async def read(self) -> bytes:
        """The next piece, b"" at the end. Raises one of `BODY_ERRORS`."""
        ...

    async def read_error(self) -> bytes:
        """The beginning of an error's document."""
        ...


class PlainBody:
    """`S3Body` on a connection of our own."""

    def __init__(self, connection: PlainConnection) -> None:
        self.status = connection.status
        self._connection = connection
        self.read_error = connection.read_error

    @classmethod
    async def begin(
        cls, pool: PlainPool, url: yarl.URL, headers: Mapping[str, str], held: contextlib.AsyncExitStack
    ) -> Self:
        """Ask, and wait for the head; `held` gives the connection back. Raises one of `BODY_ERRORS`."""
        connection = await pool.take(CONNECT_SECONDS)
        held.callback(pool.give_back, connection)
        await connection.begin(request_of(url.raw_path_qs, url.raw_authority, headers))
        return cls(connection)

    def header(self, name: str) -> str:
        return self._connection.headers.get(name, "")

    async def read(self) -> bytes:
        if self._connection.ready:
            return await self._connection.read()
        async with asyncio.timeout(BODY_SILENCE_SECONDS):
            return await self._connection.read()


class AiohttpBody:
    """`S3Body` on aiohttp's."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self._response = response

    @classmethod
    async def begin(
        cls,
        session: aiohttp.ClientSession,
        url: yarl.URL,
        headers: Mapping[str, str],
        held: contextlib.AsyncExitStack,
    ) -> Self:
        """Ask, and wait for the head; `held` gives the connection back. Raises one of `BODY_ERRORS`."""
        response = await session.get(url, headers=headers, allow_redirects=False)
        held.callback(_let_go, response)
        return cls(response)

    def header(self, name: str) -> str:
        return self._response.headers.get(name, "")

    async def read(self) -> bytes:
        return await self._response.content.read(STREAM_CHUNK_BYTES)

    async def read_error(self) -> bytes:
        return await self._response.content.read(_ERROR_BYTES)


def _let_go(response: aiohttp.ClientResponse) -> None:
    if response.content.at_eof():
        response.release()
    else:
        response.close()  # the rest is not wanted: never read to the end to save a connection
