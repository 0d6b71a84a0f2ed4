"""Header values of upstreams: text that stands for their bytes, as Latin-1, both ways.

RFC 9110 §5.5 and §8.8.3 let an entity tag hold any byte from 0x80 on. What goes back must be the same bytes:
aiohttp writes UTF-8, and httpx reads by guessing. What cannot be sent back is no validator at all.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import aiohttp
import httpx

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientResponse
    from aiohttp.connector import Connection

# No control characters. 4,096 bytes as text take at most the 8,192 of a row, and fit the line of 8 KB that
# servers read; 128 are far more than a date.
_SENDABLE = {
    "etag": re.compile(r"[\t\x20-\x7e\x80-\xff]{1,4096}"),
    "last-modified": re.compile(r"[\t\x20-\x7e\x80-\xff]{1,128}"),
}
_SENT_BACK_AS = {"if-none-match": "etag", "if-modified-since": "last-modified"}


def received(raw: Sequence[tuple[bytes, bytes]]) -> httpx.Headers:
    """A response's headers; without validators that cannot be sent back, as if there were none."""
    headers = httpx.Headers(raw, encoding="latin-1")
    for name, sendable in _SENDABLE.items():
        if name in headers and not sendable.fullmatch(headers[name]):
            del headers[name]
    return headers


def conditions(headers: Mapping[str, str]) -> dict[str, str]:
    """Those of the conditions that can be sent: rows of before hold validators of any kind."""
    return {name: value for name, value in headers.items() if _SENDABLE[_SENT_BACK_AS[name]].fullmatch(value)}


def sent(headers: Mapping[str, str]) -> httpx.Headers:
    """A request's headers. Raises `UnicodeEncodeError` for text that stands for no bytes."""
    return httpx.Headers(headers, encoding="latin-1")


def address(location: str) -> str:
    """A Location as text: UTF-8 where it is that, else with its bytes escaped."""
    try:
        return location.encode("latin-1").decode()
    except UnicodeDecodeError:
        return re.sub(r"[\x80-\xff]", lambda found: f"%{ord(found[0]):02X}", location)


class Request(aiohttp.ClientRequest):
    """aiohttp's request, whose head is written as Latin-1. For requests without a body, as all are that hold
    more than ASCII."""

    async def send(self, conn: Connection) -> ClientResponse:
        """Write the request; its head leaves before this returns."""
        protocol = conn.protocol
        if protocol is None or protocol.transport is None or all(map(str.isascii, self.headers.values())):
            return await super().send(conn)
        own, protocol.transport = protocol.transport, _Latin1(protocol.transport)
        try:
            return await super().send(conn)
        finally:
            if protocol.transport is not None:  # None: the connection was lost
                protocol.transport = own


class _Latin1(asyncio.Transport):
    """Writes what is UTF-8 as Latin-1."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._transport.write(bytes(data).decode().encode("latin-1"))
