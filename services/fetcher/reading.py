"""From an upstream's answer to a canonical document, in a thread where that takes long."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any

import msgspec

from shared.byte_budget import Share
from shared.clients.http import FetchedBody
from shared.clients.http_decoding import decode_body, decoded_size
from shared.clients.threads import BoundedThreads
from shared.errors import TooLarge
from shared.models import SealedFile, UpstreamSource
from shared.protocols.base import PackageProxyBase

INLINE_BYTES = 16 * 1024  # on the wire: decompressed and parsed in less time than it is worth a thread
LEAST_SHARE_BYTES = 64 * 1024


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
    share: Share,
) -> Answer:
    """What an upstream's answer says. `share`, of memory, reaches its unpacked size.

    Raises `UpstreamInvalid` for what is no such index, `TooLarge` beyond `max_bytes` unpacked, `Overloaded`.
    """
    told = decoded_size(response.body, response.content_encoding)
    bound = min(max_bytes, max(told, LEAST_SHARE_BYTES))
    await share.reach(bound)
    try:
        body = await _decoded(response, threads, bound)
    except TooLarge:
        if bound == max_bytes:
            raise
        await share.reach(max_bytes)  # its own word of its size was not true
        body = await _decoded(response, threads, max_bytes)
    response.take_body()
    arguments = (protocol, identity, source, response, body, sealed)
    if len(body) <= INLINE_BYTES:
        return _read(*arguments)
    del body
    try:
        return await threads.run(_read, *arguments)
    except Exception as error:
        del arguments
        _empty_frames(error)
        raise


def _empty_frames(error: BaseException | None) -> None:
    """Let go of what the frames of an error hold: it may live on in a cycle, and the body with it, for as
    long as it takes until the collector comes."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


async def _decoded(response: FetchedBody, threads: BoundedThreads, max_bytes: int) -> bytes:
    def decode() -> bytes:
        return decode_body(response.body, response.content_encoding, max_bytes=max_bytes)

    return decode() if len(response.body) <= INLINE_BYTES else await threads.run(decode)


def _read(
    protocol: PackageProxyBase,
    identity: str,
    source: UpstreamSource,
    response: FetchedBody,
    body: bytes,
    sealed: Sealed,
) -> Answer:
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
