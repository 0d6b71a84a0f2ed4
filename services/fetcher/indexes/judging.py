"""When the versions of a project count as published, as this Orchard's own rows contradict an upstream; and
which of them a page is without."""

from __future__ import annotations

from functools import partial

import msgspec

from services.fetcher.indexes.documents import Documents, LastGood, Loaded
from services.fetcher.indexes.held_queue import HeldQueue
from services.fetcher.indexes.warned import Warned
from services.fetcher.provenance.checking import Provenances
from shared.artifacts.repository import ArtifactRepository
from shared.http.headers import unix_seconds
from shared.models import FileName, Standing, UpstreamSource
from shared.policy import content
from shared.policy.age import Arrival, Dated, Seen, by_name, seen_anew
from shared.policy.held import held_back
from shared.policy.project import ProjectVerdicts
from shared.process.threads import BoundedThreads
from shared.protocols.base import PackageProxyBase
from shared.protocols.dating import NOTHING_BESIDE, Beside, Sealed, entry_name, held_of, judged_of
from shared.protocols.resource import Resource
from shared.protocols.subjects import subject_of
from shared.redis import clock


class Judging:
    """Every method costs queries: it is asked only where versions are looked at one by one."""

    def __init__(
        self,
        documents: Documents,
        artifacts: ArtifactRepository,
        threads: BoundedThreads,
        queue: HeldQueue,
        warned: Warned,
        provenances: Provenances,
    ) -> None:
        self._queue = queue
        self._warned = warned
        self._provenances = provenances
        self._documents = documents
        self._artifacts = artifacts
        self._threads = threads

    async def seen(self, protocol: PackageProxyBase, project: str, good: LastGood) -> Seen:
        """What is noted of a project; `good`: of its list of versions. Raises `DatabaseUnavailable`."""
        known = await self._artifacts.first_seen(protocol.name, project)
        return known or Seen(good.row.fetched_at if good.row is not None else clock.now())

    async def note(
        self,
        protocol: PackageProxyBase,
        identity: str,
        good: LastGood,
        loaded: Loaded | None,
        source: UpstreamSource,
    ) -> bool:
        """Before a new document of a project's list takes the place of the last good one: note what it has
        that the other, from the same source, had not. None: the last good one stands. Whether rules of age
        count for the project only since now, or no more. Raises `DatabaseUnavailable`."""
        now, row = clock.now(), good.row
        first = Seen(row.fetched_at if row is not None else now)
        old: dict[str, Dated] = {}
        new: dict[str, Dated] = {}
        confirmed_at = 0.0
        is_ageless, was_ageless = not source.options.aged, False
        is_another = loaded is not None and row is not None and row.document_key != loaded.key
        if row is not None and loaded is not None and row.source_id == source.id and is_another:
            previous = await self._documents.load(protocol, row.document_key)
            if previous is not None:
                old = await self._threads.run(_listed, protocol, identity, previous)
                new = await self._threads.run(_listed, protocol, identity, loaded)
                confirmed_at = row.fetched_at
                if good.head is not None and good.head.document_key == row.document_key:
                    confirmed_at = max(confirmed_at, good.head.fetched_at)

        def change(seen: Seen | None) -> Seen:
            nonlocal was_ageless
            seen = seen or first
            was_ageless = seen.ageless
            seen = msgspec.structs.replace(seen, ageless=is_ageless, source=source.name)
            if not confirmed_at:
                return seen
            return seen_anew(seen, old, new, confirmed_at=confirmed_at, now=now)

        await self._artifacts.note_seen(protocol.name, protocol.grammar.project_of(identity), change)
        return is_ageless != was_ageless

    async def held(
        self,
        protocol: PackageProxyBase,
        identity: str,
        loaded: Loaded,
        sealed: Sealed,
        verdicts: ProjectVerdicts,
        modified: str = "",
    ) -> ProjectVerdicts:
        """The verdicts under which a document is shown; `modified`: Last-Modified of one that is new.
        Raises `DatabaseUnavailable`, and `Blocked` or its kinds for a document of one version alone."""
        project = protocol.grammar.project_of(identity)
        if not verdicts.judges or not project:
            return verdicts
        now, list_of_versions = clock.now(), protocol.grammar.index_identity(project)
        if identity == list_of_versions:
            good = await self._documents.last_good(protocol.name, identity)
            seen = await self.seen(protocol, project, good)
            if verdicts.trust is not None:
                seen = await self._proven(protocol, project, loaded.document, seen, good)
            arguments = (protocol, project, loaded.document, verdicts, seen, sealed.values(), now)
            judged = await self._threads.run(judged_of, *arguments)
            found = verdicts.held(*judged)
            if verdicts.as_of:  # what was there at a moment is nothing to decide
                return found
            await self._warned.note(protocol.name, project, found.contents)
            if not verdicts.rules and held_back(*judged):
                judged = await self._threads.run(partial(judged_of, changes=True), *arguments)
            await self._queue.note(protocol.name, project, *judged)
            return found
        _, found = await self.of_project(
            protocol, project, sealed, verdicts, Beside(identity, loaded.document)
        )
        refuse_version(protocol, identity, found)
        if not verdicts.as_of:
            await self._refuse_whole(protocol, identity, loaded, found, modified)
        return found

    async def _refuse_whole(
        self,
        protocol: PackageProxyBase,
        identity: str,
        loaded: Loaded,
        verdicts: ProjectVerdicts,
        modified: str,
    ) -> None:
        """Raises `Blocked` or its kinds for a document that has a date of its own. What stands in the place
        of another is no older than that one's coming."""
        row = (await self._documents.last_good(protocol.name, identity)).row
        is_kept = row is not None and row.document_key == loaded.key
        if row is not None and is_kept:
            modified = row.upstream_last_modified
        told = protocol.documents.dated_whole(identity, loaded.document, unix_seconds(modified))
        if told is None:
            return
        project, now = protocol.grammar.project_of(identity), clock.now()
        resource = Resource(protocol.name, "index", identity, project)
        version = protocol.grammar.version_asked(resource)
        listed = await self._documents.last_good(protocol.name, protocol.grammar.index_identity(project))
        seen = await self.seen(protocol, project, listed)
        arrival = None if row is None or is_kept else Arrival(row.fetched_at, now)
        if arrival is not None:
            seen = msgspec.structs.replace(seen, arrivals={identity: arrival})
        held = verdicts.contents.get(version)
        facts = Standing(
            published=seen.date_of(Dated(identity, version, told), now),
            stored_at=row.fetched_at if row is not None and is_kept else 0.0,
            judged=content.told(verdicts.content_stamp, None if held is None else held.verdict),
        )
        found = verdicts.verdict(subject_of(protocol, resource, facts), now)
        if found is not None and not found.allowed:
            raise found.refusal(f"{project} {version}")

    async def prove(self, protocol: PackageProxyBase, identity: str, loaded: Loaded) -> None:
        """Has the provenance of a list verified of which no page is made now: resolutions read the list.
        Raises `DatabaseUnavailable`."""
        project = protocol.grammar.project_of(identity)
        if project and identity == protocol.grammar.index_identity(project):
            good = await self._documents.last_good(protocol.name, identity)
            seen = await self.seen(protocol, project, good)
            await self._proven(protocol, project, loaded.document, seen, good)

    async def _proven(
        self,
        protocol: PackageProxyBase,
        project: str,
        document: object,
        seen: Seen,
        good: LastGood,
        wanted: str = "",
    ) -> Seen:
        if not protocol.names.attests:
            return seen
        source_id = None if good.row is None else good.row.source_id
        return await self._provenances.known(protocol, project, document, seen, source_id, wanted)

    async def of_project(
        self,
        protocol: PackageProxyBase,
        project: str,
        sealed: Sealed,
        verdicts: ProjectVerdicts,
        beside: Beside = NOTHING_BESIDE,
    ) -> tuple[Loaded | None, ProjectVerdicts]:
        """A project's last good list of versions, and the verdicts with what may not be served of it, and of
        what is asked for `beside` it."""
        main, _, found = await self._judged(protocol, project, sealed, verdicts, beside)
        return main, found

    async def told(
        self, protocol: PackageProxyBase, file: FileName, sealed: Sealed, verdicts: ProjectVerdicts
    ) -> str:
        """What is kept beside a file of the rules about its project's list (`content.told`), whether that has
        it or not."""
        asked = Beside(file=file)
        main, beside, found = await self._judged(protocol, file.project, sealed, verdicts, asked)
        name = entry_name(protocol, file, None if main is None else main.document, beside.document)
        return found.told.get(name, "")

    async def _judged(
        self,
        protocol: PackageProxyBase,
        project: str,
        sealed: Sealed,
        verdicts: ProjectVerdicts,
        beside: Beside,
    ) -> tuple[Loaded | None, Beside, ProjectVerdicts]:
        good = await self._documents.last_good(protocol.name, protocol.grammar.index_identity(project))
        main = await self._documents.load(protocol, good.document_key) if good.document_key else None
        seen = await self.seen(protocol, project, good)
        document = None if main is None else main.document
        file = beside.file
        if file is not None and (document is None or not protocol.documents.dated_name(document, file)):
            beside = await self._listing(protocol, file)
        if verdicts.trust is not None and document is not None:
            wanted = "" if file is None else protocol.documents.dated_name(document, file)
            seen = await self._proven(protocol, project, document, seen, good, wanted)
        found = await self._threads.run(
            held_of, protocol, project, document, verdicts, seen, sealed, clock.now(), beside
        )
        if not verdicts.as_of:
            await self._warned.note(protocol.name, project, found.contents)
        return main, beside, found

    async def _listing(self, protocol: PackageProxyBase, file: FileName) -> Beside:
        """A file that its project's list lacks, with a document that has it, if one is stored."""
        for identity in protocol.documents.entry_identities(file):
            good = await self._documents.last_good(protocol.name, identity)
            loaded = await self._documents.load(protocol, good.document_key) if good.document_key else None
            if loaded is not None and protocol.documents.dated_name(loaded.document, file):
                return Beside(identity, loaded.document, file)
        return Beside(file=file)


def refuse_version(protocol: PackageProxyBase, identity: str, verdicts: ProjectVerdicts) -> None:
    """Raises `Blocked` or `TooYoung` for an index that is about one version which may not be served."""
    project = protocol.grammar.project_of(identity)
    version = protocol.grammar.version_asked(Resource(protocol.name, "index", identity, project))
    held = verdicts.versions.get(version) if version else None
    if held is not None:
        raise held.refusal(f"{project} {version}")


def _listed(protocol: PackageProxyBase, identity: str, loaded: Loaded) -> dict[str, Dated]:
    return by_name(protocol.documents.dated(identity, loaded.document, marks=True))
