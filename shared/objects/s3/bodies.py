"""A response from an S3 server whose body is still to be read."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Self

import aiohttp
import yarl

from shared.objects.port import STREAM_CHUNK_BYTES

CONNECT_SECONDS = 2.0
BODY_SILENCE_SECONDS = 10.0  # without a byte of a body that is wanted
BODY_ERRORS = (aiohttp.ClientError, TimeoutError, OSError)
_ERROR_BYTES = 4096


class S3Body:
    """Status and headers are there, the body is not."""

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
        """A header's value, "" if it is not there."""
        return self._response.headers.get(name, "")

    async def read(self) -> bytes:
        """The next piece, b"" at the end. Raises one of `BODY_ERRORS`."""
        return await self._response.content.read(STREAM_CHUNK_BYTES)

    async def read_error(self) -> bytes:
        """The beginning of an error's document."""
        return await self._response.content.read(_ERROR_BYTES)


def _let_go(response: aiohttp.ClientResponse) -> None:
    if response.content.at_eof():
        response.release()
    else:
        response.close()  # the rest is not wanted: never read to the end to save a connection
