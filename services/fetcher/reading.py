"""From an upstream's answer to a canonical document, in a thread where that takes long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from shared.clients.http import FetchedBody
from shared.clients.http_decoding import decode_body
from shared.clients.threads import BoundedThreads
from shared.models import SealedFile, UpstreamSource
from shared.protocols.base import PackageProxyBase

INLINE_BYTES = 16 * 1024  # on the wire: decompressed and parsed in less time than it is worth a thread


Sealed = Mapping[tuple[str, str], SealedFile]


class Answer(msgspec.Struct, frozen=True):
    """Canonical bytes, the decoded document, the entries that were refused, and whether the document
    needs the one before it (`PackageProxyBase.carry_over`)."""

    body: bytes
    document: Any
    dropped: tuple[str, ...]
    wants_previous: bool


async def read_answer(
    protocol: PackageProxyBase,
    identity: str,
    source: UpstreamSource,
    response: FetchedBody,
    threads: BoundedThreads,
    max_bytes: int,
    sealed: Sealed,
) -> Answer:
    """What an upstream's answer says.

    Raises `UpstreamInvalid` for what is no such index, `TooLarge` beyond `max_bytes` unpacked.
    """
    arguments = (protocol, identity, source, response, max_bytes, sealed)
    if len(response.body) <= INLINE_BYTES:
        return _read(*arguments)
    return await threads.run(_read, *arguments)


def _read(
    protocol: PackageProxyBase,
    identity: str,
    source: UpstreamSource,
    response: FetchedBody,
    max_bytes: int,
    sealed: Sealed,
) -> Answer:
    body = decode_body(response.take_body(), response.content_encoding, max_bytes=max_bytes)
    read = protocol.read_index(
        identity, source, url=response.url, content_type=response.content_type, body=body
    )
    document = protocol.decode_document(read.body)
    return Answer(read.body, document, read.dropped, protocol.wants_previous(document, sealed))


def carried_over(
    protocol: PackageProxyBase, document: Any, previous: Any, sealed: Sealed, now: float
) -> tuple[bytes, Any] | None:
    """Canonical bytes and document with what must outlive a refresh; None if the document stands as
    it is. Runs in a thread."""
    body = protocol.carry_over(document, previous, sealed, now)
    return None if body is None else (body, protocol.decode_document(body))
