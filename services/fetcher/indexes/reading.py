"""From an upstream's answer to a canonical document, in a thread where that takes long."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any

import msgspec

from services.fetcher.http.response import FetchedBody, decode_body, decoded_size
from services.fetcher.indexes.documents import Loaded
from shared.errors import TooLarge
from shared.models import SealedFile, UpstreamSource
from shared.process.byte_budget import Share
from shared.process.threads import BoundedThreads
from shared.protocols.base import PackageProxyBase

INLINE_BYTES = 16 * 1024  # on the wire: decompressed faster than switching to a thread
READ_INLINE_BYTES = 32 * 1024  # unpacked: as long as finishing its page may take on the loop
LEAST_SHARE_BYTES = 64 * 1024
MEMORY_FACTOR = 4
"""Memory of an index that is read and rendered, to its unpacked size: as it came, decoded, stored and
finished."""


Sealed = Mapping[tuple[str, str], SealedFile]


class Answer(msgspec.Struct, frozen=True):
    """Canonical bytes, the decoded document, the entries that were refused, and whether the document needs
    the one before it (`Pages.carry_over`)."""

    body: bytes
    loaded: Loaded
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
    """The document in an upstream's answer. `share`, of memory, grows to what it takes. Raises
    `UpstreamInvalid` for what is no such index, `TooLarge` beyond `max_bytes` unpacked, `Overloaded`.
    """
    declared = decoded_size(response.body, response.content_encoding)
    bound = min(max_bytes, max(declared, LEAST_SHARE_BYTES))
    await share.reach(MEMORY_FACTOR * bound)
    try:
        body = await _decoded(response, threads, bound)
    except TooLarge:
        if bound == max_bytes:
            raise
        await share.reach(MEMORY_FACTOR * max_bytes)  # the size that it declared was wrong
        body = await _decoded(response, threads, max_bytes)
    response.take_body()
    arguments = (protocol, identity, source, response, body, sealed)
    if len(body) <= READ_INLINE_BYTES:
        return _read(*arguments)
    del body
    try:
        return await threads.run(_read, *arguments)
    except Exception as error:
        del arguments
        _empty_frames(error)
        raise


def _empty_frames(error: BaseException | None) -> None:
    """Clear the frames of an error: it may live on in a reference cycle, and the body with it, until the
    garbage collector runs."""
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
    read = protocol.documents.read_index(
        identity, source, url=response.url, content_type=response.content_type, body=body
    )
    document = read.document
    if document is None:
        document = protocol.documents.decode_document(read.body)
    loaded = Loaded.of(read.body, document)
    return Answer(read.body, loaded, read.dropped, protocol.pages.wants_previous(document, sealed))


def carried_over(
    protocol: PackageProxyBase, document: Any, previous: Any, sealed: Sealed, now: float
) -> tuple[bytes, Loaded] | None:
    """Canonical bytes and document with what must outlive a refresh; None if the document stands as
    it is."""
    body = protocol.pages.carry_over(document, previous, sealed, now)
    return None if body is None else (body, Loaded.of(body, protocol.documents.decode_document(body)))
