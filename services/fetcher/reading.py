"""From an upstream's answer to a canonical document, in a thread where that takes long."""

from __future__ import annotations

from typing import Any

from shared.clients.http import FetchedBody
from shared.clients.http_decoding import decode_body
from shared.clients.threads import BoundedThreads
from shared.models import UpstreamSource
from shared.protocols.base import PackageProxyBase

INLINE_BYTES = 16 * 1024  # on the wire: decompressed and parsed in less time than it is worth a thread


async def read_answer(
    protocol: PackageProxyBase,
    identity: str,
    source: UpstreamSource,
    response: FetchedBody,
    threads: BoundedThreads,
    max_bytes: int,
) -> tuple[bytes, Any, tuple[str, ...]]:
    """Canonical bytes, decoded document, and the entries that were refused.

    Raises `UpstreamInvalid` for what is no such index, `TooLarge` beyond `max_bytes` unpacked.
    """
    arguments = (protocol, identity, source, response, max_bytes)
    if len(response.body) <= INLINE_BYTES:
        return _read(*arguments)
    return await threads.run(_read, *arguments)


def _read(
    protocol: PackageProxyBase,
    identity: str,
    source: UpstreamSource,
    response: FetchedBody,
    max_bytes: int,
) -> tuple[bytes, Any, tuple[str, ...]]:
    body = decode_body(response.body, response.content_encoding, max_bytes=max_bytes)
    read = protocol.read_index(
        identity, source, url=response.url, content_type=response.content_type, body=body
    )
    return read.body, protocol.decode_document(read.body), read.dropped
