"""Files that no index lists, because their address follows from their name (`direct_entry`).

Each owner that may have such a file is asked in order; only a true 404 of one that lacks the whole project
leads to the next. That all of them lack a file is remembered for a short time.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import msgspec

from services.fetcher.download import GoneUpstream
from services.fetcher.entries import Found
from services.fetcher.upstreams import Upstreams
from shared import clock
from shared.artifacts import ArtifactRepository
from shared.cache import CacheService
from shared.clients.http_decoding import decode_body
from shared.errors import (
    CacheUnavailable,
    DigestMismatch,
    FileNotFound,
    LastingError,
    Offline,
    UpstreamInvalid,
    UpstreamUnavailable,
)
from shared.logs import get_logger
from shared.models import FORMAT, IndexHead, UpstreamSource
from shared.protocols.base import PackageProxyBase, Resource
from shared.settings import Settings
from shared.source_options import Checksums
from shared.source_policy import owners, why_absent, why_none
from shared.source_watcher import SourceWatcher

log = get_logger()

T = TypeVar("T")

MAX_CHECKSUM_BYTES = 64 * 1024
_HEX_DIGITS = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}


class DirectFiles:
    """Where such a file may lie, what its source says of its bytes, and that it is nowhere."""

    def __init__(
        self,
        *,
        sources: SourceWatcher,
        upstreams: Upstreams,
        artifacts: ArtifactRepository,
        cache: CacheService,
        settings: Settings,
    ) -> None:
        self._sources = sources
        self._upstreams = upstreams
        self._artifacts = artifacts
        self._cache = cache
        self._settings = settings
        self.telling: set[int] = set()  # sources whose last file came with its digests in headers

    async def first(
        self,
        protocol: PackageProxyBase,
        resource: Resource,
        generation: int,
        attempt: Callable[[Found], Awaitable[T]],
    ) -> T:
        """What `attempt` makes of the file at the first place that does not truly lack it (`GoneUpstream`).

        Raises `FileNotFound` when all truly lack it, or the first that has its project does, or every
        source excludes the name; `Offline`; and `UpstreamUnavailable` when only a source that is disabled
        or gone may be asked: its files are not missing.
        """
        known = self._sources.current(protocol.name)
        if known is None:
            raise UpstreamUnavailable("the upstream sources are not loaded yet", retry_after_seconds=1)
        if self._settings.offline:
            raise Offline(f"ORCHARD_OFFLINE is set and {resource.filename} was never cached")
        project = resource.project
        pinned = await self._artifacts.pinned(protocol.name, protocol.pin_names(project))
        asked = owners(known.sources, project, pinned)
        if not asked:
            reason = why_none(known.sources, project, pinned)
            log.warning("no_source_may_be_asked", protocol=protocol.name, reason=reason)
            all_enabled = [msgspec.structs.replace(source, enabled=True) for source in known.sources]
            if all_enabled and not owners(all_enabled, project):
                raise FileNotFound(reason)
            raise UpstreamUnavailable(reason)
        for owner in asked:
            ids = frozenset(source.id for source in owner)
            for source in owner:
                entry = protocol.direct_entry(source, project, resource.file_id, resource.filename)
                if entry is None:
                    continue
                try:
                    return await attempt(Found(entry, source, frozenset() if pinned else ids))
                except GoneUpstream:
                    continue
            if len(asked) > 1 and await self._upstreams.lists_project(protocol, project, owner):
                pinned = ids  # as good as: it has the project
                break
        reason = why_absent(known.sources, project, pinned, resource.filename)
        await self._remember_absence(resource, generation, known.revision, reason)
        raise FileNotFound(reason)

    async def _remember_absence(
        self, resource: Resource, generation: int, revision: int, reason: str
    ) -> None:
        now = clock.now()
        head = IndexHead(
            format=FORMAT,
            status=404,
            generation=generation,
            source_revision=revision,
            source_id=0,
            fetched_at=now,
            fresh_until=now + self._settings.cache_ttl_negative,
            reason=reason,
        )
        try:
            await self._cache.write_head(resource.protocol, resource.absence_identity, head)
        except CacheUnavailable as error:
            log.info("absence_not_cached", error=error.message)

    async def published_digest(self, found: Found) -> tuple[str, str] | None:
        """What the source's own checksum files say of the file: (algorithm, hex) of the first that is
        there and readable; None if none is. Raises why a source could not answer."""
        for algorithm, url in found.entry.checksum_urls.items():
            digest = await self._read_checksum(found.source, algorithm, url)
            if digest:
                return algorithm, digest
        return None

    async def _read_checksum(self, source: UpstreamSource, algorithm: str, url: str) -> str:
        response = await self._upstreams.fetch_small(source, url, max_bytes=MAX_CHECKSUM_BYTES)
        if response.status != 200:
            return ""
        body = decode_body(response.body, response.content_encoding, max_bytes=MAX_CHECKSUM_BYTES)
        return read_checksum(algorithm, body)


def read_checksum(algorithm: str, body: bytes) -> str:
    """The hex digest in a checksum file, alone or beside a file name; "" if there is none."""
    digits = _HEX_DIGITS[algorithm]
    text = body.decode("ascii", "replace")
    found = re.search(rf"(?<![0-9A-Za-z])[0-9A-Fa-f]{{{digits}}}(?![0-9A-Za-z])", text)
    return "" if found is None or text.lstrip().startswith("<") else found[0].lower()


def told_digests(headers: Mapping[str, str]) -> dict[str, str]:
    """Algorithm → hex of what a repository's headers say of the file they come with (Maven Resolver,
    "remote-included checksums": X-Checksum-*, and an ETag that says that it is a SHA-1)."""
    found = {name: headers.get(f"x-checksum-{name}", "").strip().lower() for name in _HEX_DIGITS}
    marked = re.fullmatch(r'"?\{SHA1\{([0-9A-Fa-f]{40})\}\}"?', headers.get("etag", "").strip())
    if marked is not None:
        found["sha1"] = marked[1].lower()
    return {name: text for name, text in found.items() if re.fullmatch(r"[0-9a-f]+", text)}


class PublishedCheck:
    """Compares a download with what its source publishes beside it: headers, or else a checksum file,
    which is looked up while the bytes come. What a difference means, the source's `checksums` says."""

    def __init__(self, files: DirectFiles, artifacts: ArtifactRepository, found: Found) -> None:
        self._files = files
        self._artifacts = artifacts
        self._found = found
        self._told: dict[str, str] = {}
        self._task: asyncio.Task[tuple[str, str] | None] | None = None

    def start(self) -> None:
        """Begin to look the checksum file up, where there may be one and this source is not known to tell
        of it in headers. At once: a build asks for one POM after the other."""
        if self._found.source.id not in self._files.telling and self._policy != "ignore":
            self._look_up()

    @property
    def _policy(self) -> Checksums:
        return self._found.source.options.checksums

    def head_came(self, headers: Mapping[str, str]) -> None:
        """The download's own response has begun."""
        if not self._found.entry.checksum_urls:
            return
        self._told = told_digests(headers)
        if self._told:
            self._files.telling.add(self._found.source.id)
            self.cancel()
        else:
            self._files.telling.discard(self._found.source.id)
            self.start()

    def _look_up(self) -> None:
        if self._found.entry.checksum_urls and self._task is None:
            self._task = asyncio.create_task(self._files.published_digest(self._found))
            # The download may fail first: then nobody asks why the look-up failed too.
            self._task.add_done_callback(lambda task: task.cancelled() or task.exception())

    def cancel(self) -> None:
        """Give up."""
        if self._task is not None:
            self._task.cancel()

    async def verify(
        self, resource: Resource, digests: Mapping[str, str], suspicion: UpstreamInvalid | None = None
    ) -> None:
        """Raises `DigestMismatch`, or why the source did not answer; a file without any is noted.

        A `suspicion` of the content is raised unless something published matches: a guess never beats that,
        whatever a difference means at this source.
        """
        if not self._found.entry.checksum_urls or (self._policy == "ignore" and suspicion is None):
            return
        published = await self._published(suspicion)
        differing = [each for each, digest in published.items() if digests.get(each) != digest]
        if suspicion is not None and (differing or not published):
            raise suspicion
        if not published:
            log.info("file_without_checksum", project=resource.project, filename=resource.filename)
            await self._artifacts.record_event(
                "file_without_checksum", resource.protocol, resource.project, resource.filename, {}
            )
        if differing:
            algorithm = differing[0]
            await self._differs(resource, algorithm, published[algorithm], digests.get(algorithm, ""))

    async def _published(self, suspicion: UpstreamInvalid | None) -> Mapping[str, str]:
        """Algorithm → hex. Raises why the source did not answer: a refusal says less than a suspicion."""
        if self._told:
            return self._told
        self._look_up()
        assert self._task is not None
        try:
            looked_up = await self._task
        except LastingError:
            if suspicion is not None:
                raise suspicion from None
            raise
        return dict([looked_up]) if looked_up is not None else {}

    async def _differs(self, resource: Resource, algorithm: str, published: str, found: str) -> None:
        source = self._found.source
        if self._policy == "fail":
            raise DigestMismatch(
                f"{resource.filename}: the upstream's bytes have another {algorithm} than published beside "
                f"them; `orchard upstreams options {source.protocol}/{source.name} checksums=warn` takes them"
            )
        detail = {"source": source.name, "algorithm": algorithm, "published": published, "found": found}
        log.warning("checksum_differs", project=resource.project, filename=resource.filename, **detail)
        await self._artifacts.record_event(
            "checksum_differs", resource.protocol, resource.project, resource.filename, detail
        )
