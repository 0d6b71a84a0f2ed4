"""A folder into the stores of an Orchard, some files at a time; or, first, what there is to be imported.

Each file is whole by itself: object first, then row. What was broken off goes on where it was, since a file
that is here is not put again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from services.standalone.imports.taking import Refused, Taken, protocols_of, take
from services.standalone.imports.walking import Seen, walk
from shared.builds.rows import NO_REMOVALS, REMOVALS
from shared.imports import rows
from shared.objects.port import ObjectStore, artifact_key
from shared.postgres.connection import Session, session
from shared.printable import printable

BATCH = 64  # files of one statement
AT_ONCE = 4  # files that are read, and objects that are put
MOST_NAMED = 200  # that were left out; all are counted

Tell = Callable[[str], None]


class LeftOut(msgspec.Struct, frozen=True):
    """A file that was not imported, and why."""

    path: str  # below the folder
    why: str


class Report(msgspec.Struct):
    """What an import did, or would do (`dry`). Files by protocol."""

    dry: bool
    imported: dict[str, int] = {}
    bytes: int = 0
    here_already: int = 0
    projects: dict[str, int] = {}
    passed_over: int = 0  # of no kind that is imported
    left_out: int = 0
    named: list[LeftOut] = []


class Importer:
    """One import. `spool`: where files lie before they are stored; `most`: bytes of one file."""

    def __init__(
        self, root: Path, store: ObjectStore, url: str, *, spool: Path, most: int, tell: Tell
    ) -> None:
        self._root, self._store, self._url = root, store, url
        self._spool, self._most, self._tell = spool, most, tell
        self._imported: Counter[str] = Counter()
        self._projects: dict[str, set[str]] = {}

    async def run(self, own: Sequence[str], *, dry: bool) -> Report:
        """All of the folder. `own`: patterns of names that are served from here, whatever upstreams say.

        Raises `OSError` for the folder, and what the stores raise: what was done until then stays.
        """
        report, seen = Report(dry), walk(self._root)
        while batch := await asyncio.to_thread(lambda: [*islice(seen, BATCH)]):
            taken = [each for each in await self._take_all(batch, report) if each is not None]
            try:
                async with session(self._url) as database:
                    for protocol in dict.fromkeys(each.protocol.name for each in taken):
                        await self._keep(
                            database, [each for each in taken if each.protocol.name == protocol], report
                        )
            finally:
                await asyncio.to_thread(_remove, taken)
            done = sum(self._imported.values())
            self._tell(f"{done} files, {report.here_already} here already, {report.left_out} left out")
        if not dry:
            await self._offer(own)
        report.imported = dict(self._imported)
        report.projects = {name: len(found) for name, found in self._projects.items()}
        return report

    async def _take_all(self, batch: Sequence[Seen], report: Report) -> list[Taken | None]:
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(seen: Seen) -> Taken | None:
            protocols = protocols_of(seen)
            if seen.why:
                self._leave_out(report, seen.path, seen.why)
            elif not protocols:
                report.passed_over += 1
            else:
                try:
                    async with turns:
                        spool = None if report.dry else self._spool
                        return await asyncio.to_thread(take, seen, protocols, spool, self._most)
                except Refused as error:
                    self._leave_out(report, seen.path, str(error))
            return None

        return await asyncio.gather(*map(one, batch))

    def _leave_out(self, report: Report, path: Path, why: str) -> None:
        report.left_out += 1
        if len(report.named) < MOST_NAMED:
            report.named.append(LeftOut(printable(str(path.relative_to(self._root))), why))

    async def _keep(self, database: Session, taken: Sequence[Taken], report: Report) -> None:
        """Those of one protocol."""
        protocol, alike = taken[0].protocol.name, taken[0].protocol.importing.spelt_alike
        projects = {each.file.listed.project for each in taken}
        found = await rows.standing(database, protocol, sorted(projects))
        standing = {alike(path): (path, sha256) for path, sha256 in found.items()}
        new: dict[str, Taken] = {}
        for each in taken:
            path = each.file.listed.path
            stands, known = standing.setdefault(alike(path), (path, each.file.sha256))
            if found.get(path) == each.file.sha256:
                report.here_already += 1
            elif known != each.file.sha256:
                self._leave_out(report, each.path, f"other bytes stand here, as {stands}, SHA256 {known}")
            elif stands != path or path in new:
                report.here_already += 1
            else:
                new[path] = each
        if not report.dry and new:
            stored = await self._store_all(database, protocol, [*new.values()])
            for path in [path for path, each in new.items() if stored.get(path) != each.file.sha256]:
                self._leave_out(report, new.pop(path).path, "another import came first: run this one again")
        for each in new.values():
            self._imported[protocol] += 1
            self._projects.setdefault(protocol, set()).add(each.file.listed.project)
            report.bytes += each.file.size_bytes

    async def _store_all(self, database: Session, protocol: str, taken: Sequence[Taken]) -> Mapping[str, str]:
        """Path → SHA256 of what stands there afterwards."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def put(each: Taken) -> None:
            assert each.copy is not None
            async with turns:
                key = artifact_key(each.file.sha256)
                await self._store.put_file(key, each.copy, sha256=each.file.sha256)

        await asyncio.gather(*map(put, taken))
        # What lay here before was named by no row, and may have been removed before there was one.
        async with database.transaction():
            await database.fetch(NO_REMOVALS, REMOVALS)
            stored = await rows.store(database, protocol, [each.file for each in taken])
            for each in taken:
                if await self._store.stat(artifact_key(each.file.sha256)) is None:
                    await put(each)
        return stored

    async def _offer(self, own: Sequence[str]) -> None:
        async with session(self._url) as database:
            for protocol in dict.fromkeys((*self._imported, *(each.partition("/")[0] for each in own))):
                patterns = [name for each in own for at, _, name in (each.partition("/"),) if at == protocol]
                standing = await rows.offer(database, protocol, patterns)
                if standing:
                    raise Refused(f"another source of {protocol} is called {standing}: give it another name")


def _remove(taken: Sequence[Taken]) -> None:
    for each in taken:
        if each.copy is not None:
            each.copy.unlink(missing_ok=True)


def in_words(report: Report) -> Iterator[str]:
    """Lines for a person."""
    for protocol, count in sorted(report.imported.items()):
        yield f"{protocol}: {count} files of {report.projects[protocol]} projects"
    if not report.imported:
        yield "nothing new"
    others = f"{report.passed_over} of other kinds, {report.left_out} left out"
    yield f"{report.here_already} here already, {others}"
    for each in report.named:
        yield f"  left out: {each.path}: {each.why}"
    if report.left_out > len(report.named):
        yield f"  and {report.left_out - len(report.named)} more"
