"""Whether a file that is not stored yet is old enough: before anybody may have a byte of it.

Its date is that of the index which lists it, or, where none does (Maven), its own Last-Modified. Both are
corrected by what this Orchard saw (shared/policy/age.py). A project's list of versions is fetched for that
once, not for every file.
"""

from __future__ import annotations

import contextlib

import msgspec

from services.fetcher.files.entries import JUST_FETCHED_SECONDS, Found, Refresh, told_sha256
from services.fetcher.indexes.documents import Documents, LastGood
from services.fetcher.indexes.judging import Judging
from services.fetcher.indexes.pages import sealed_by_key
from shared.access.watcher import AccessWatcher
from shared.errors import ProjectNotFound, TooYoung, UpstreamInvalid
from shared.models import FileName, Standing, StoredFile
from shared.policy.age import Arrival, Dated, Seen, by_name, is_told
from shared.policy.content import are_alike, as_told, told
from shared.policy.project import ProjectVerdicts
from shared.policy.trust import of_signature
from shared.policy.verdict import UNKNOWN, Facts, Verdict
from shared.protocols.base import PackageProxyBase
from shared.protocols.file_versions import told_version_of, version_of
from shared.protocols.resource import Resource
from shared.protocols.subjects import subject_of
from shared.queue.jobs import IN_USE, RenderIndex
from shared.redis import clock
from shared.stores import Stores


def as_stored(standing: Standing, row: StoredFile | None) -> Standing:
    """What is known of a file that is fetched, where `row` stands and its object is gone: it is
    stored all the same, as old as it was, and has these bytes."""
    if row is None:
        return standing
    published = row.published or min(standing.published, row.created_at)
    return Standing(published, standing.judged, row.sha256, row.created_at)


class Ages:
    """Where no age is asked for, nothing is looked up and every date is 0.0: unknown."""

    def __init__(self, stores: Stores, access: AccessWatcher, documents: Documents, judging: Judging) -> None:
        self._access = access
        self._documents = documents
        self._judging = judging
        self._artifacts = stores.artifacts
        self._cache = stores.cache

    def _asks(self, protocol: PackageProxyBase, project: str) -> bool:
        """Whether anything is asked of a project's files that the list of its versions tells, or when."""
        return self._access.policy.of(protocol.name, project).asks_dates

    async def admitted(
        self,
        protocol: PackageProxyBase,
        resource: Resource,
        refresh: Refresh,
        stored: StoredFile | None,
        found: Found,
    ) -> Standing:
        """What is to be known of a file that an index lists. `stored`: what a row says of it, whose object is
        lost. Raises `Blocked`, and why the list of versions cannot be fetched."""
        sha256 = told_sha256(resource, found)
        if not self._asks(protocol, resource.project):
            return as_stored(Standing(sha256=sha256), stored)
        published = await self._listed(protocol, resource.file, refresh)
        standing = Standing(published, await self.judged(protocol, resource), sha256)
        standing = as_stored(standing, stored)
        self.check(protocol, resource, standing)
        return standing

    async def judged(
        self, protocol: PackageProxyBase, resource: Resource, stored: StoredFile | None = None
    ) -> str:
        """What the rules about a project's list come to for a file, by the last good one and what is stored
        beside; a version that neither has was seen just now. "" where none is asked. What a file's own
        signature came to is asked of one that is `stored`."""
        verdicts = self._access.policy.of(protocol.name, resource.project)
        if not verdicts.asks_list and verdicts.trust is None:
            return ""
        if verdicts.signed_by:
            against = await self._signature(protocol, resource, verdicts, stored)
            if against is not None or not verdicts.rules:
                return told(verdicts.content_stamp, against)
            verdicts = msgspec.structs.replace(verdicts, trust=None)
        known = await self._documents.known(protocol, protocol.grammar.index_identity(resource.project))
        return await self._judging.told(protocol, resource.file, sealed_by_key(known.sealed), verdicts)

    async def _signature(
        self,
        protocol: PackageProxyBase,
        resource: Resource,
        verdicts: ProjectVerdicts,
        stored: StoredFile | None,
    ) -> Verdict | None:
        """What is known against a stored file by its signature."""
        rule = verdicts.trust
        if rule is None or stored is None or (rule.stored_stay and stored.created_at < rule.since):
            return None
        seen = await self._artifacts.first_seen(protocol.name, resource.project)
        about = self._name(protocol, resource), resource.filename, stored.sha256
        known = () if seen is None else seen.signatures
        return of_signature(next((each for each in known if each.is_of(*about)), None))

    def check(self, protocol: PackageProxyBase, resource: Resource, facts: Facts) -> None:
        """Raises `Blocked` and its kinds."""
        self._access.policy.check_file(subject_of(protocol, resource, facts), clock.now())

    def check_new(self, protocol: PackageProxyBase, resource: Resource, found: Found | None) -> None:
        """See `Policy.check_new`. `found`: its entry, if that is known."""
        policy = self._access.policy
        if policy.any:
            version = protocol.grammar.version_asked(resource)
            policy.check_new(protocol.name, resource.project, version, told_sha256(resource, found))

    async def of_stored(
        self, protocol: PackageProxyBase, resource: Resource, stored: StoredFile, refresh: Refresh
    ) -> StoredFile:
        """Facts with the standing that they lack, which is noted in the row. Raises `Blocked` and its
        kinds."""
        verdicts = self._access.policy.of(protocol.name, resource.project)
        asks_date = self._asks(protocol, resource.project)
        if not (asks_date or verdicts.asks_list):
            return stored
        published, judged = stored.published, stored.judged
        if asks_date and not is_told(published, stored.created_at):
            if resource.direct:
                seen = await self.seen(protocol, resource, refresh)
                published = self.of_answer(protocol, resource, stored.modified, seen)
            else:
                published = await self._listed(protocol, resource.file, refresh)
            published = min(published, stored.created_at or published)  # or it could not have been stored
        if verdicts.asks_list and as_told(verdicts.content_stamp, judged, clock.now()) is UNKNOWN:
            judged = await self.judged(protocol, resource, stored)
        standing = Standing(published, judged)
        if standing != Standing(stored.published, stored.judged):
            await self._artifacts.note_standing(resource.file, standing)
            stored = msgspec.structs.replace(stored, published=published, judged=judged)
            stored = await self.settled(protocol, resource, stored)
        try:
            self.check(protocol, resource, stored)
        except TooYoung:
            if resource.direct:
                await self.note_refused(protocol, resource, stored.published)
            raise
        return stored

    async def settled(self, protocol: PackageProxyBase, resource: Resource, stored: StoredFile) -> StoredFile:
        """Facts that were just written into the row. Where rules ask what files tell (licences), they are
        judged again: what came to be known before they were there has made nobody judge them anew."""
        verdicts = self._access.policy.of(protocol.name, resource.project)
        while any(each.reads_files for each in verdicts.rules):
            judged = await self.judged(protocol, resource, stored)
            if are_alike(verdicts.content_stamp, stored.judged, judged):
                break
            stored = msgspec.structs.replace(stored, judged=judged)
            await self._artifacts.note_standing(resource.file, Standing(stored.published, judged))
            await self._cache.write_facts(resource.file, stored)
        return stored

    async def _listed(self, protocol: PackageProxyBase, file: FileName, refresh: Refresh) -> float:
        good, listed = await self._look(protocol, file)
        if listed is None and not _is_new(good):
            with contextlib.suppress(ProjectNotFound, UpstreamInvalid):
                await refresh(protocol.name, protocol.grammar.index_identity(file.project))
            good, listed = await self._look(protocol, file)
        seen, now = await self._judging.seen(protocol, file.project, good), clock.now()
        if listed is None and not seen.ageless:
            gone = protocol.documents.unlisted(file, version_of(file), {})
            for name in (gone.name, told_version_of(file)):
                if published := seen.date_of_gone(msgspec.structs.replace(gone, name=name)):
                    return published
        # Another document lists it, and the list of versions does not: it is new.
        return seen.date_of(listed or Dated("", "", now), now)

    async def _look(self, protocol: PackageProxyBase, file: FileName) -> tuple[LastGood, Dated | None]:
        identity = protocol.grammar.index_identity(file.project)
        good = await self._documents.last_good(protocol.name, identity)
        loaded = await self._documents.load(protocol, good.document_key) if good.document_key else None
        if loaded is None:
            return good, None
        name = protocol.documents.dated_name(loaded.document, file)
        return good, by_name(protocol.documents.dated(identity, loaded.document)).get(name)

    # --- files that no index lists ------------------------------------------------------------------

    async def seen(self, protocol: PackageProxyBase, resource: Resource, refresh: Refresh) -> Seen | None:
        """What was seen of the project of a file that no index lists; None where no age is asked for. Of a
        version that the last list lacks, nothing was seen before now. Raises `TooYoung` where that alone says
        it, so that the upstream is not asked for it again and again."""
        if not self._asks(protocol, resource.project):
            return None
        project = resource.project
        seen = await self._artifacts.first_seen(protocol.name, project)
        if seen is None:
            with contextlib.suppress(ProjectNotFound, UpstreamInvalid):
                await refresh(protocol.name, protocol.grammar.index_identity(project))
            seen = await self._artifacts.first_seen(protocol.name, project)
        if seen is None:
            now = clock.now()
            seen = await self._artifacts.note_seen(protocol.name, project, lambda seen: seen or Seen(now))
        known = (self._name(protocol, resource), resource.filename)
        arrivals = [seen.arrivals[name] for name in known if name in seen.arrivals]
        if arrivals and not seen.ageless:
            self._check_arrival(protocol, resource, max(each.not_before for each in arrivals))
        if not arrivals and (await self._look(protocol, resource.file))[1] is None:
            seen = msgspec.structs.replace(seen, since=clock.now())
        return seen

    def _check_arrival(self, protocol: PackageProxyBase, resource: Resource, published: float) -> None:
        """Raises `TooYoung` where its date alone refuses it."""
        limit = self._access.policy.of(protocol.name, resource.project).age
        if limit is not None and not self._is_exempt(protocol, resource):
            found = limit.verdict(published, 0.0, clock.now())
            if found is not None and not found.allowed:
                raise found.refusal(f"{resource.project} {protocol.grammar.version_asked(resource)}")

    def _is_exempt(self, protocol: PackageProxyBase, resource: Resource) -> bool:
        verdicts = self._access.policy.of(protocol.name, resource.project)
        return verdicts.by_hand(protocol.grammar.version_asked(resource), resource.file_id) is not None

    def of_answer(
        self, protocol: PackageProxyBase, resource: Resource, modified: float, seen: Seen | None
    ) -> float:
        """When a file counts as published of which its source says `modified` (unix seconds; 0: nothing).
        What other files of its version said (`Seen.told`) is no matter: a file can be younger."""
        if seen is None:
            return 0.0
        seen = msgspec.structs.replace(seen, told={})
        name = self._name(protocol, resource)
        version = protocol.grammar.version_asked(resource)
        return seen.date_of(Dated(name, version, modified), clock.now())

    async def note_refused(self, protocol: PackageProxyBase, resource: Resource, published: float) -> None:
        """Remember the date of a file that was refused by it: where it is its version's, pages are without
        that from then on."""
        of_version = protocol.documents.dates_version(resource.file)
        name = self._name(protocol, resource) if of_version else resource.filename

        def change(seen: Seen | None) -> Seen:
            seen = seen or Seen(published)
            return msgspec.structs.replace(
                seen, arrivals={**seen.arrivals, name: Arrival(published, published)}
            )

        await self._artifacts.note_seen(protocol.name, resource.project, change)

    @staticmethod
    def _name(protocol: PackageProxyBase, resource: Resource) -> str:
        return protocol.documents.dated_name(b"", resource.file)


def list_again(protocol: PackageProxyBase, project: str) -> RenderIndex:
    """Has a list of versions made without what was refused by a date that it does not tell."""
    identity = protocol.grammar.index_identity(project)
    return RenderIndex(protocol=protocol.name, identity=identity, variant=IN_USE)


def _is_new(good: LastGood) -> bool:
    head = good.head
    return head is not None and not head.failing and abs(clock.now() - head.fetched_at) < JUST_FETCHED_SECONDS
