"""Files that no index lists, because their address follows from their name (`direct_entry`).

Each owner that may have such a file is asked in order; only a true 404 of one that lacks the whole project
leads to the next. The absence of a file at all of them is cached for a short time.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from services.fetcher.files.download import GoneUpstream
from services.fetcher.files.entries import Found
from services.fetcher.http.response import decode_body
from services.fetcher.sources.policy import nobody_asked, owners, unheard, why_absent
from services.fetcher.sources.upstreams import Upstreams
from services.fetcher.sources.watcher import SourceWatcher
from shared.artifacts.repository import ArtifactRepository
from shared.errors import Blocked, DigestMismatch, FileNotFound, LastingError, Offline, UpstreamInvalid
from shared.errors.passing import CacheUnavailable, UpstreamUnavailable
from shared.models import FORMAT, IndexHead, UpstreamSource
from shared.protocols.base import PackageProxyBase
from shared.protocols.resource import Resource
from shared.redis import clock
from shared.sources.options import Checksums
from shared.stores import Stores
from shared.telemetry.logs import get_logger

log = get_logger()

T = TypeVar("T")

MAX_CHECKSUM_BYTES = 64 * 1024
_HEX_DIGITS = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}


class DirectFiles:
    """Finds such files at sources, their published checksums, and records their absence."""

    def __init__(self, stores: Stores, *, sources: SourceWatcher, upstreams: Upstreams) -> None:
        self._sources = sources
        self._upstreams = upstreams
        self._artifacts = stores.artifacts
        self._cache = stores.cache
        self._settings = stores.settings
        self.telling: set[int] = set()  # sources whose last file came with its digests in headers

    async def first(
        self,
        protocol: PackageProxyBase,
        resource: Resource,
        generation: int,
        attempt: Callable[[Found], Awaitable[T]],
    ) -> T:
        """The result of `attempt` at the first source that does not answer with a true 404 (`GoneUpstream`).

        What one of an owner's sources has blocked, another of them may have. Raises `FileNotFound` when all
        lack it, or the first that has its project does, or every source excludes the name; `Offline`; and
        `NoSource` when only a source that is paused or gone may be asked: its files are not missing.
        """
        known = self._sources.current(protocol.name)
        if known is None:
            raise UpstreamUnavailable("the upstream sources are not loaded yet", retry_after_seconds=1)
        project = resource.project
        pinned = await self._artifacts.pinned(protocol.name, protocol.names.pin_names(project))
        asked = owners(known.sources, project, pinned)
        if not asked:
            error = nobody_asked(known.sources, project, pinned, FileNotFound)
            log.warning("no_source_may_be_asked", protocol=protocol.name, reason=error.message)
            raise error
        if self._upstreams.cut_off(source for owner in asked for source in owner):
            raise Offline(f"ORCHARD_OFFLINE is set and {resource.filename} was never cached")
        for owner in asked:
            refused: Blocked | None = None
            ids = frozenset(source.id for source in owner)
            for source in owner:
                described = await self._upstreams.described(protocol, source)
                entry = protocol.upstream.direct_entry(described, resource.file)
                if entry is None:
                    continue
                try:
                    return await attempt(Found(entry, described, frozenset() if pinned else ids))
                except GoneUpstream:
                    continue
                except Blocked as error:
                    if not error.of_source:
                        raise
                    refused = refused or error
            if refused is not None:
                raise refused
            if len(asked) > 1 and await self._upstreams.lists_project(protocol, project, owner):
                pinned = ids  # treated as if it had the file: it has the project
                break
        if nobody := unheard(known.sources, project, pinned):
            raise nobody
        reason = why_absent(known.sources, project, pinned, resource.filename)
        await self._remember_absence(protocol, resource, generation, known.revision, reason)
        raise FileNotFound(reason)

    async def _remember_absence(
        self, protocol: PackageProxyBase, resource: Resource, generation: int, revision: int, reason: str
    ) -> None:
        now = clock.now()
        lifetime = protocol.upstream.lifetime(resource.absence_identity).absent
        head = IndexHead(
            format=FORMAT,
            status=404,
            generation=generation,
            source_revision=revision,
            source_id=0,
            fetched_at=now,
            fresh_until=now + (self._settings.cache_ttl_negative if lifetime is None else lifetime),
            reason=reason,
        )
        try:
            await self._cache.write_head(resource.protocol, resource.absence_identity, head)
        except CacheUnavailable as error:
            log.info("absence_not_cached", error=error.message)

    async def published_digest(self, found: Found) -> tuple[str, str] | None:
        """The digest in the source's own checksum files: (algorithm, hex) of the first that exists and is
        readable; None if none is. Raises the error of a source that could not answer."""
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


class PublishedCheck:
    """Compares a download with what its source publishes beside it: headers, or else a checksum file,
    which is looked up while the bytes come. The source's option `checksums` says what a difference means."""

    def __init__(
        self, files: DirectFiles, artifacts: ArtifactRepository, protocol: PackageProxyBase, found: Found
    ) -> None:
        self._files = files
        self._protocol = protocol
        self._artifacts = artifacts
        self._found = found
        self._from_headers: dict[str, str] = {}
        self._task: asyncio.Task[tuple[str, str] | None] | None = None

    def start(self) -> None:
        """Begin to fetch the checksum file, where there may be one and this source is not known to send
        digests in headers. At once: a build asks for one POM after the other."""
        if self._found.source.id not in self._files.telling and self._policy != "ignore":
            self._look_up()

    @property
    def _policy(self) -> Checksums:
        return self._found.source.options.checksums

    def head_came(self, headers: Mapping[str, str]) -> None:
        """Called with the headers of the download's own response."""
        if not self._found.entry.checksum_urls:
            return
        self._from_headers = self._protocol.upstream.digests_told(headers)
        if self._from_headers:
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
        """Stop fetching the checksum file."""
        if self._task is not None:
            self._task.cancel()

    async def verify(
        self, resource: Resource, digests: Mapping[str, str], suspicion: UpstreamInvalid | None = None
    ) -> str:
        """The algorithm of a published digest that the bytes have, "" where none was compared, or it differs.

        Raises `DigestMismatch`, or the error of a source that did not answer; a file without any checksum
        is recorded as an event. A `suspicion` about the content is raised unless a published digest matches:
        a guess never beats that, whatever the option says.
        """
        if not self._found.entry.checksum_urls or (self._policy == "ignore" and suspicion is None):
            return ""
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
            return ""
        return next(iter(published), "")

    async def _published(self, suspicion: UpstreamInvalid | None) -> Mapping[str, str]:
        """Algorithm → hex. Raises the error of a source that did not answer."""
        if self._from_headers:
            return self._from_headers
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
                f"{resource.filename}: the upstream's bytes have the {algorithm} {found}, and {published} is "
                f"published beside them; `orchard upstreams options {source.protocol}/{source.name} "
                "checksums=warn` takes them"
            )
        detail = {"source": source.name, "algorithm": algorithm, "published": published, "found": found}
        log.warning("checksum_differs", project=resource.project, filename=resource.filename, **detail)
        await self._artifacts.record_event(
            "checksum_differs", resource.protocol, resource.project, resource.filename, detail
        )
