"""Job `seal_lock`: a lock of an ensure file as a sealed build, which is what its view knows
(docs/decisions/0049): its files, and its projects' pages without everything else.

Made of what is stored: nothing is fetched. Objects, the list, then the rows, as for every build.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Iterator

import msgspec

from services.fetcher.indexes.pages import EVERY, Page, Sealed, render_page, sealed_by_key
from services.fetcher.indexes.writing import IndexTools
from shared.builds.entries import FORMAT, BuildList, File, Session, encode
from shared.builds.entries import Page as Entry
from shared.builds.holding import store_held
from shared.builds.rows import STORE_LOCK
from shared.errors import EnsureNotFound
from shared.errors.passing import EnsureIncomplete, StoreUnavailable
from shared.models import FileName
from shared.objects.port import BUILDS, ObjectStore
from shared.objects.verify import read_whole
from shared.policy.project import ProjectVerdicts
from shared.policy.verdict import Verdict
from shared.protocols import protocol_named
from shared.protocols.base import PackageProxyBase
from shared.protocols.lock import Lock, LockedDocument, LockedPackage, decode_lock, graphs_of
from shared.protocols.resource import Resource
from shared.queue.context import JobContext
from shared.queue.jobs import SealLock
from shared.redis import clock
from shared.resolving.answers import KeptLocks
from shared.stores import Stores
from shared.telemetry.logs import get_logger

log = get_logger()

AT_ONCE = 8
_ELSE = Verdict(False, "view", "it is not in the lock")


class SealLockJob:
    """Handler of `SealLock`."""

    def __init__(self, stores: Stores, tools: IndexTools) -> None:
        self._locks = KeptLocks(stores.database, stores.cache)
        self._artifacts = stores.artifacts
        self._database = stores.database
        self._objects: ObjectStore = stores.objects
        self._tools = tools
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def __call__(self, ctx: JobContext, job: SealLock) -> None:
        """Raises `EnsureNotFound` for no kept lock, `EnsureIncomplete` where the very bytes of a file of it
        are not stored any more, `StoreUnavailable` where a project's page is not, and what the stores
        raise."""
        body = await self._locks.row(job.key)
        if body is None:
            raise EnsureNotFound(f"there is no lock {job.key}")
        files = await self._files(decode_lock(body))
        projects = sorted({(each.protocol, each.file.project) for each in files})
        found = await asyncio.gather(
            *(self._pages(protocol_named(name), project, files, job) for name, project in projects)
        )
        pages = [page for of_one in found for page in of_one]
        listed = BuildList(FORMAT, job.key, "", "", pages, files, [])
        raw = encode(listed)
        key = f"{BUILDS}/{hashlib.sha256(raw).hexdigest()}"
        await self._objects.put_bytes(key, raw)
        session = Session(
            id=job.key,
            state="sealed",
            created_at=clock.now(),
            sealed_at=clock.now(),
            list_key=key,
            pages=len(pages),
            files=len(files),
            lock=hashlib.sha256(body).hexdigest(),
        )
        keys = [key, *(page.info.object_key for page in pages)]
        keys += [each.stored.object_key for each in files if each.stored is not None]
        if await store_held(
            self._database, self._objects.stat, STORE_LOCK, job.key, encode(session), sorted(set(keys))
        ):
            raise EnsureIncomplete("files of the lock were removed meanwhile: ask for it again")
        log.info("lock_sealed", key=job.key, pages=len(pages), files=len(files))
        ctx.done()

    async def _files(self, lock: Lock) -> list[File]:
        """All with their facts; of files whose metadata is kept apart that too."""
        wanted = {resource.file: sha256 for resource, sha256 in _resources(lock)}
        named = {resource.identity: resource.file for resource, _ in _resources(lock)}
        beside = dict(_metadata_of(named.values()))
        names = [*named.values(), *beside.values()]
        stored = dict(zip(names, await self._artifacts.batch_get_cached_urls(names), strict=True))
        for each, sha256 in wanted.items():
            found = stored[each]
            if found is None or found.sha256 != sha256:
                what = "is not stored any more" if found is None else "is stored with other bytes by now"
                raise EnsureIncomplete(f"{each.filename} {what}: ask for the lock again")
        addresses = named | {address: file for address, file in beside.items() if stored[file] is not None}
        return [File(file.protocol, address, file, stored[file]) for address, file in addresses.items()]

    async def _pages(
        self, protocol: PackageProxyBase, project: str, files: list[File], job: SealLock
    ) -> list[Entry]:
        """Of one project, in all their forms."""
        own = [each.file for each in files if (each.protocol, each.file.project) == (protocol.name, project)]
        listing = protocol.grammar.index_identity(project)
        others = {name for file in own for name in protocol.documents.entry_identities(file)} - {listing}
        found: list[Entry] = []
        for identity in (listing, *sorted(others)):
            async with self._turns:
                page = await self._page(protocol, identity, own, job)
            if page is not None:
                found += await self._kept(protocol.name, identity, page)
        if not found and not any(protocol.grammar.artifact_resource(each).direct for each in own):
            raise StoreUnavailable(f"the page of {project} is not stored")
        return found

    async def _page(
        self, protocol: PackageProxyBase, identity: str, own: list[FileName], job: SealLock
    ) -> Page | None:
        """None: there is no document of it."""
        known = await self._tools.documents.known(protocol, identity)
        key = known.good.document_key
        loaded = await self._tools.documents.load(protocol, key) if key else None
        if loaded is None:
            return None
        body = await read_whole(self._objects, key, self._tools.threads)
        names = {each.filename for each in own}
        sealed = sealed_by_key([each for each in known.sealed if each.filename in names])
        base_url = job.base_url + protocol.mount[:-1] if protocol.pages.per_base_url(identity) else ""

        def render() -> Page:
            document = _narrowed(protocol, identity, loaded.document, body, own, sealed)
            return render_page(protocol, identity, document, sealed, base_url, EVERY)

        return await self._tools.threads.run(render)

    async def _kept(self, protocol: str, identity: str, page: Page) -> list[Entry]:
        """With all bodies in objects."""
        await self._tools.pages.store(page)
        entries = []
        for variant, info in sorted(page.variants.items()):
            if not info.object_key:
                body = page.bodies[variant]
                info = msgspec.structs.replace(
                    info, object_key=f"{BUILDS}/{hashlib.sha256(body).hexdigest()}"
                )
                await self._objects.put_bytes(info.object_key, body)
            entries.append(Entry(protocol, identity, variant, info))
        return entries


def _narrowed(
    protocol: PackageProxyBase,
    identity: str,
    document: object,
    body: bytes,
    own: list[FileName],
    sealed: Sealed,
) -> object:
    """The document with these files alone."""
    names = {each.filename for each in own}
    versions = {protocol.grammar.version_asked(protocol.grammar.artifact_resource(each)) for each in own}
    listed = list(protocol.documents.dated(identity, document))
    verdicts = ProjectVerdicts(
        versions={each.version: _ELSE for each in listed if each.version not in versions},
        files={each.name: _ELSE for each in listed if each.is_file and each.name not in names},
    )
    left = protocol.pages.without_blocked(identity, body, verdicts, sealed)
    return document if left is body else protocol.documents.decode_document(left)


def _resources(lock: Lock) -> Iterator[tuple[Resource, str]]:
    """Of all files of a lock that are to be fetched, with their SHA256s."""
    for name, table in lock.protocols.items():
        protocol = protocol_named(name)
        for graph in graphs_of(table):
            named: list[LockedPackage | LockedDocument] = [*graph.packages, *graph.documents]
            for each in named:
                if each.path and each.sha256:
                    path = each.path.removeprefix(protocol.mount[:-1]).encode()
                    resource = protocol.grammar.classify("GET", path, b"", {})
                    assert isinstance(resource, Resource)
                    yield resource, each.sha256


def _metadata_of(files: Iterable[FileName]) -> Iterator[tuple[str, FileName]]:
    """Where metadata lies that is kept beside files, and its name."""
    for file in files:
        protocol = protocol_named(file.protocol)
        name = protocol.archive.metadata_filename(file.filename)
        if name is not None:
            beside = msgspec.structs.replace(file, filename=name)
            yield protocol.grammar.artifact_resource(beside).identity, beside
