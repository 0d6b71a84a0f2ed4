"""Connections to the fetchers' live bytes: one pool per gateway, bounded buffers, no retries of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import quote

import aiohttp
from yarl import URL

CONNECT_SECONDS = 1.0  # a fetcher is near; one that does not answer is dead or frozen
HEAD_SECONDS = 5.0
_FAILURES = (aiohttp.ClientError, OSError, TimeoutError, ValueError)
READ_BUFFER_BYTES = 128 * 1024  # per relay; a slow client stops reading, and so the fetcher's sending


class SendingBroken(Exception):
    """A fetcher stopped sending in the middle."""


class LiveResponse:
    """A fetcher's answer, whose bytes are taken as they come."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def read(self) -> bytes:
        """What has come since, at least a byte; b"" at the regular end. Raises `SendingBroken`."""
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise SendingBroken from error

    def close(self) -> None:
        """Take no more."""
        self._response.close()


class FetcherPool:
    """HTTP connections to fetchers. Its owner opens and closes it."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the pool; connections are opened when needed."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=15),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=None),
            auto_decompress=False,
            read_bufsize=READ_BUFFER_BYTES,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Close all connections; relays in progress break off."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def post(
        self, address: str, path: str, *, headers: Mapping[str, str], body: bytes, timeout_seconds: float
    ) -> tuple[int, Mapping[str, str], bytes] | None:
        """Status, headers and body of a fetcher's answer; None when it cannot be reached in time."""
        if self._session is None or not address:
            return None
        try:
            async with (
                asyncio.timeout(timeout_seconds),
                self._session.post(f"http://{address}{path}", headers=headers, data=body) as response,
            ):
                return response.status, response.headers, await response.read()
        except _FAILURES:
            return None

    async def request(
        self, address: str, token: str, job_id: str, offset: int, byte_range: bytes
    ) -> LiveResponse | None:
        """The response with the bytes from `offset` on (or of `byte_range`); the caller closes it.

        None when this fetcher does not (yet, or any more) serve the job.
        """
        if self._session is None or not address:
            return None
        headers = {"x-orchard-token": token}
        if byte_range:
            headers["range"] = byte_range.decode("latin-1")
        try:
            url = URL(f"http://{address}/live/{quote(job_id, safe='')}?from={offset}", encoded=True)
            async with asyncio.timeout(HEAD_SECONDS):
                response = await self._session.get(url, headers=headers, allow_redirects=False)
        except _FAILURES:
            return None
        if response.status not in (200, 206):
            response.close()
            return None
        return LiveResponse(response)
