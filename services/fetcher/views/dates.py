"""When files were published, for views: found whether or not a rule asks; nothing is refused by it here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from services.fetcher.files.ages import Ages
from services.fetcher.files.describe import Described
from services.fetcher.files.direct import DirectFiles
from services.fetcher.files.entries import Found, Refresh
from services.fetcher.indexes.documents import LastGood, Loaded
from services.fetcher.indexes.judging import Judging
from shared.errors import FileNotFound, OrchardError
from shared.models import FileName, StoredFile
from shared.policy.age import Dated, Seen
from shared.policy.verdict import Facts
from shared.protocols.base import PackageProxyBase
from shared.protocols.resource import Resource
from shared.redis import clock
from shared.stores import Stores

AT_ONCE = 8  # versions of one list whose files are asked for their dates
MOST_VERSIONS = 2000  # of one list; older ones, by its order, count as there


class EveryAge(Ages):
    """As where a rule asks for the age of everything. Asks no upstream for what a row tells."""

    def _asks(self, protocol: PackageProxyBase, project: str) -> bool:
        return True

    def check(self, protocol: PackageProxyBase, resource: Resource, facts: Facts) -> None:
        """Whether it may be served is asked where it is."""

    async def of_stored(
        self, protocol: PackageProxyBase, resource: Resource, stored: StoredFile, refresh: Refresh
    ) -> StoredFile:
        dated = await super().of_stored(protocol, resource, stored, refresh)
        await self._cache.write_facts(resource.file, dated)
        return dated

    async def seen(self, protocol: PackageProxyBase, resource: Resource, refresh: Refresh) -> Seen:
        known = await self._artifacts.first_seen(protocol.name, resource.project)
        return known or Seen(clock.now())


class VersionDates:
    """Dates the versions of a list that tells none (Maven's), by the files that have them. Each is asked for
    once: `Seen.told` keeps it."""

    def __init__(
        self,
        stores: Stores,
        direct: DirectFiles,
        judging: Judging,
        describe: Callable[[Found], Awaitable[Described]],
    ) -> None:
        """`describe` asks a source for the headers of a file."""
        self._artifacts = stores.artifacts
        self._direct = direct
        self._judging = judging
        self._describe = describe

    async def find(
        self,
        protocol: PackageProxyBase,
        identity: str,
        good: LastGood,
        loaded: Loaded,
        stored: Callable[[Dated], bool],
        generation: int,
    ) -> None:
        """Note what is not known yet. `stored`: whether something of a version was here at the view's moment
        already. Raises why a source does not tell: a list that shows too much would be wrong."""
        project = protocol.grammar.project_of(identity)
        seen = await self._judging.seen(protocol, project, good)
        wanted: list[tuple[str, FileName]] = []
        for listed in protocol.documents.dated(identity, loaded.document):
            file = protocol.documents.dating_file(project, listed)
            if file is not None and listed.name not in seen.told and not stored(listed):
                wanted.append((listed.name, file))
        if not wanted:
            return
        wanted = wanted[-MOST_VERSIONS:]
        turns = asyncio.Semaphore(AT_ONCE)
        known = await self._artifacts.batch_get_cached_urls([file for _, file in wanted])
        dates: dict[str, float] = {}
        failures: list[OrchardError] = []

        async def date(name: str, file: FileName, row: StoredFile | None) -> None:
            try:
                if not failures:
                    dates[name] = await self._date(protocol, file, row, generation, turns)
            except OrchardError as error:
                failures.append(error)

        await asyncio.gather(*(date(*of, row) for of, row in zip(wanted, known, strict=True)))
        # Also what a source told before it would tell no more: the next view goes on there.
        await self._artifacts.note_seen(protocol.name, project, partial(_with_told, seen, dates))
        if failures:
            raise failures[0]

    async def _date(
        self,
        protocol: PackageProxyBase,
        file: FileName,
        row: StoredFile | None,
        generation: int,
        turns: asyncio.Semaphore,
    ) -> float:
        """Unix seconds; 0 where nobody tells: then it counts from when it was first seen."""
        if row is not None and row.modified:
            return row.modified
        resource = protocol.grammar.artifact_resource(file)
        async with turns:
            try:
                described = await self._direct.first(protocol, resource, generation, self._describe)
            except FileNotFound:
                return 0.0
        return described.source_headers.modified


def _with_told(first: Seen, dates: dict[str, float], seen: Seen | None) -> Seen:
    seen = seen or first
    return msgspec.structs.replace(seen, told={**seen.told, **dates})
