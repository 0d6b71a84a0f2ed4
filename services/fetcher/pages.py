"""Finished index bodies: rendered, compressed, given their ETags, and put where gateways find them.

Everything costly about a page happens here, once: a hit only copies bytes (ARCHITECTURE.md).
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from services.fetcher.documents import Loaded
from shared.blocks import NOTHING, ProjectBlocks
from shared.clients.object_verify import read_whole
from shared.clients.objects import VARIANTS, ObjectStore
from shared.clients.threads import BoundedThreads
from shared.models import SealedFile, VariantInfo
from shared.protocols.base import PackageProxyBase

INLINE_BYTES = 32 * 1024  # of the document: a smaller one is rendered on the loop
IN_REDIS_BYTES = 256 * 1024  # larger bodies lie in the object store
LARGE_BYTES = 256 * 1024


class Page(msgspec.Struct, frozen=True):
    """All bodies of one page. `bodies` go to the cache, `objects` (by key) to the object store."""

    variants: dict[str, VariantInfo]
    bodies: dict[str, bytes]
    objects: dict[str, bytes]


Sealed = Mapping[tuple[str, str], SealedFile]


def sealed_by_key(files: Sequence[SealedFile]) -> dict[tuple[str, str], SealedFile]:
    """As `PackageProxyBase.rewrite_index` wants them: by (file_id, filename)."""
    return {(file.file_id, file.filename): file for file in files}


def render_page(
    protocol: PackageProxyBase, identity: str, document: Any, sealed: Sealed, base_url: str = ""
) -> Page:
    """Every representation in every content-coding. Deterministic; the ETags follow from the bytes."""
    variants: dict[str, VariantInfo] = {}
    bodies: dict[str, bytes] = {}
    objects: dict[str, bytes] = {}
    suffix = "." + hashlib.sha256(base_url.encode()).hexdigest()[:16] if base_url else ""
    for name, rendering in protocol.rewrite_index(
        identity, document, sealed=sealed, base_url=base_url
    ).items():
        level = 5 if len(rendering.body) > LARGE_BYTES else 6
        coded = {"identity": rendering.body}
        if "gzip" in rendering.codings:
            coded["gzip"] = gzip.compress(rendering.body, level, mtime=0)
        for coding, body in coded.items():
            digest = hashlib.sha256(body).hexdigest()
            large = len(body) > IN_REDIS_BYTES
            variant = f"{name}.{coding}{suffix}"
            variants[variant] = VariantInfo(
                etag=f'"{digest[:32]}"',
                size_bytes=len(body),
                content_type=rendering.content_type,
                object_key=f"{VARIANTS}/{digest}" if large else "",
            )
            if large:
                objects[f"{VARIANTS}/{digest}"] = body
            else:
                bodies[variant] = body
    return Page(variants, bodies, objects)


def _unblocked(
    protocol: PackageProxyBase,
    identity: str,
    loaded: Loaded,
    body: bytes,
    blocks: ProjectBlocks,
    sealed: Sealed,
) -> Any:
    left = protocol.without_blocked(identity, body, blocks, sealed)
    return loaded.document if left is body else protocol.decode_document(left)


class Pages:
    """Renders pages, in a thread where that takes long, and stores their large bodies."""

    def __init__(self, *, objects: ObjectStore, threads: BoundedThreads) -> None:
        self._objects = objects
        self._threads = threads

    async def make(
        self,
        protocol: PackageProxyBase,
        identity: str,
        loaded: Loaded,
        sealed: Sealed,
        *,
        base_url: str = "",
        blocks: ProjectBlocks = NOTHING,
        body: bytes = b"",
    ) -> Page:
        """The finished page, its large bodies stored; `body`: its canonical bytes, if they are at hand.

        Without an address, where bodies differ by it, there is nothing to finish: the first request from
        an address has its bodies made.
        """
        if not base_url and protocol.per_base_url(identity):
            return Page({}, {}, {})
        document = loaded.document
        if blocks.stamp:
            body = body or await read_whole(self._objects, loaded.key, self._threads)
            document = await self._threads.run(_unblocked, protocol, identity, loaded, body, blocks, sealed)
        if loaded.size_bytes <= INLINE_BYTES:
            page = render_page(protocol, identity, document, sealed, base_url)
        else:
            page = await self._threads.run(render_page, protocol, identity, document, sealed, base_url)
        if page.objects:
            await asyncio.gather(*(self._objects.put_bytes(key, body) for key, body in page.objects.items()))
        return page
