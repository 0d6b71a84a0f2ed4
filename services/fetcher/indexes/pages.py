"""Finished index bodies: rendered, compressed, given their ETags, and put where gateways find them.

Everything costly about a page happens here, once: a hit only copies bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import zstandard
from isal import igzip

from services.fetcher.indexes.documents import Loaded
from services.fetcher.indexes.judging import Judging
from shared.cache.keys import unaddressed, variant_name
from shared.errors import Blocked
from shared.models import IndexHead, SealedFile, VariantInfo
from shared.objects.port import VARIANTS
from shared.objects.verify import read_whole
from shared.policy.project import NOTHING, ProjectVerdicts
from shared.protocols.base import PackageProxyBase
from shared.queue.jobs import IN_USE, FetchIndex, RenderIndex
from shared.stores import Stores

INLINE_BYTES = 32 * 1024  # of the document: a smaller one is rendered on the loop
IN_REDIS_BYTES = 256 * 1024  # larger bodies lie in the object store
SMALL_BYTES = 4 * 1024  # of the document: a smaller one has all its bodies made at once
ALWAYS = frozenset({"identity", "gzip"})  # where all are made: what services one version back know


class Page(msgspec.Struct, frozen=True):
    """The finished bodies of one page. `bodies` go to the cache, `objects` (by key) to the object store.

    `is_changed`: by stored files or by the policy, so that a copy of the same Last-Modified may be another.
    `due`, `refused`: as in `IndexHead`.
    """

    variants: dict[str, VariantInfo]
    bodies: dict[str, bytes]
    objects: dict[str, bytes]
    is_changed: bool = False
    due: float = 0.0
    refused: str = ""

    def modified(self, told: str) -> str:
        """The Last-Modified of its bodies: what their source told, or "" if that does not stand for them."""
        return "" if self.is_changed else told


Sealed = Mapping[tuple[str, str], SealedFile]


def sealed_by_key(files: Sequence[SealedFile]) -> dict[tuple[str, str], SealedFile]:
    """As `Pages.rewrite_index` takes them: by (file_id, filename)."""
    return {(file.file_id, file.filename): file for file in files}


class Wanted(msgspec.Struct, frozen=True):
    """Which bodies of a page are made: `{representation}.{coding}`, and with `every` all of the codings
    `ALWAYS` beside them. What is not made is rendered once a client asks for it."""

    names: frozenset[str] = frozenset()
    every: bool = False

    def codings(self, representation: str, offered: Sequence[str]) -> list[str]:
        """Those that a representation is made in."""
        return [
            coding
            for coding in offered
            if f"{representation}.{coding}" in self.names or (self.every and coding in ALWAYS)
        ]


def wanted_by(job: FetchIndex | RenderIndex, head: IndexHead | None) -> Wanted:
    """What a job asks for, and what the page has been asked for before."""
    in_use = unaddressed(head.variants, job.base_url) if head is not None else frozenset()
    if job.variant in ("", IN_USE):
        return Wanted(in_use, every=not job.variant)
    return Wanted(in_use | {job.variant})


EVERY = Wanted(every=True)


def render_page(
    protocol: PackageProxyBase,
    identity: str,
    document: Any,
    sealed: Sealed,
    base_url: str = "",
    wanted: Wanted = EVERY,
) -> Page:
    """The bodies that are wanted. Deterministic; the ETags follow from the bytes."""
    variants: dict[str, VariantInfo] = {}
    bodies: dict[str, bytes] = {}
    objects: dict[str, bytes] = {}
    renderings = protocol.pages.rewrite_index(identity, document, sealed=sealed, base_url=base_url)
    for name, rendering in renderings.items():
        codings = wanted.codings(name, rendering.codings)
        plain = rendering.body if codings else b""
        for coding in codings:
            body = compressed(coding, plain)
            digest = hashlib.sha256(body).hexdigest()
            large = len(body) > IN_REDIS_BYTES
            variant = variant_name(name, coding, base_url)
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
    return Page(variants, bodies, objects, any(each.is_changed for each in renderings.values()))


def _allowed(
    protocol: PackageProxyBase,
    identity: str,
    loaded: Loaded,
    body: bytes,
    verdicts: ProjectVerdicts,
    sealed: Sealed,
) -> Any:
    left = protocol.pages.without_blocked(identity, body, verdicts, sealed)
    return loaded.document if left is body else protocol.documents.decode_document(left)


class Pages:
    """Finishes pages, in a thread where that takes long, and stores their large bodies."""

    def __init__(self, stores: Stores, judging: Judging) -> None:
        self._objects = stores.objects
        self._threads = stores.threads
        self._judging = judging

    async def finish(
        self,
        protocol: PackageProxyBase,
        identity: str,
        loaded: Loaded,
        sealed: Sealed,
        *,
        wanted: Wanted,
        base_url: str = "",
        verdicts: ProjectVerdicts = NOTHING,
        body: bytes = b"",
        modified: str = "",
    ) -> Page:
        """The finished page; `body`: its canonical bytes, if they are at hand; `modified`: Last-Modified of a
        document that is new.

        Where bodies differ by base URL, none are rendered without one: the first request from an address has
        its bodies rendered.
        """
        if not base_url and protocol.pages.per_base_url(identity):
            if verdicts.trust is not None:
                await self._judging.prove(protocol, identity, loaded)
            return Page({}, {}, {})
        document = loaded.document
        if verdicts.any:
            verdicts = await self._judging.held(protocol, identity, loaded, sealed, verdicts, modified)
            body = body or await read_whole(self._objects, loaded.key, self._threads)
            try:
                document = await self._threads.run(
                    _allowed, protocol, identity, loaded, body, verdicts, sealed
                )
            except Blocked:
                instead = await self._instead(protocol, identity, verdicts, sealed)
                if instead is None:
                    raise
                document = instead
        if loaded.size_bytes <= SMALL_BYTES:
            wanted = msgspec.structs.replace(wanted, every=True)
        arguments = (protocol, identity, document, sealed, base_url, wanted)
        if loaded.size_bytes <= INLINE_BYTES:
            page = render_page(*arguments)
        else:
            page = await self._threads.run(render_page, *arguments)
        if not verdicts.any:
            return page
        against = verdicts.refused
        refused = "" if against is None else against.refusal(protocol.grammar.project_of(identity)).message
        return msgspec.structs.replace(page, is_changed=True, due=verdicts.due, refused=refused)

    async def _instead(
        self, protocol: PackageProxyBase, identity: str, verdicts: ProjectVerdicts, sealed: Sealed
    ) -> Any:
        """What is shown in place of a document that may not be; None: nothing."""
        project = protocol.grammar.project_of(identity)
        listing, found = await self._judging.of_project(protocol, project, sealed, verdicts)
        if listing is None:
            return None
        body = await read_whole(self._objects, listing.key, self._threads)

        def make() -> Any:
            left = protocol.pages.without_blocked(
                protocol.grammar.index_identity(project), body, found, sealed
            )
            made = protocol.pages.instead(identity, left)
            return None if made is None else protocol.documents.decode_document(made)

        return await self._threads.run(make)

    async def store(self, page: Page) -> None:
        """Put the large bodies of a page. Before its head is written, which names them."""
        await asyncio.gather(*(self._objects.put_bytes(key, body) for key, body in page.objects.items()))


def compressed(coding: str, body: bytes) -> bytes:
    """The body in a content-coding of `shared.http.conditions.CODINGS`.

    Measured in docs/decisions/0006: of both libraries the first level is a tenth of zlib's work and as small.
    Deterministic for one version of a library.
    """
    if coding == "gzip":
        return igzip.compress(body, 1, mtime=0)
    if coding == "zstd":
        # A compressor is no thing to share between threads, and costs nothing to make. The frame says its
        # size, and its window stays below the 8 MB that every client has to take (RFC 9659).
        return zstandard.ZstdCompressor(1).compress(body)
    return body
