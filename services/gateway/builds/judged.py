"""What a build has, with what the rules of now say of it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import msgspec

from services.gateway.builds.waiting import work_done
from services.gateway.serving.ports import Ports
from shared.artifacts.repository import ArtifactRepository
from shared.builds.entries import Entry, File
from shared.errors import TooYoung
from shared.errors.passing import PassingError, StoreUnavailable
from shared.models import StoredFile
from shared.protocols.resource import Resource
from shared.queue.jobs import DateArtifact


async def with_facts_of_now(entries: Sequence[Entry], artifacts: ArtifactRepository) -> list[Entry]:
    """The same, each file with what is known of it now: when it was published, and what rules came to. Of
    bytes that are stored under its name no more, nobody knows anything. Raises `DatabaseUnavailable`."""
    files = [each.file for each in entries if isinstance(each, File)]
    rows = iter(await artifacts.batch_get_cached_urls(files) if files else ())
    return [_now(each, next(rows)) if isinstance(each, File) else each for each in entries]


def _now(entry: File, row: StoredFile | None) -> File:
    stored = entry.stored
    if stored is None or (row is not None and row.sha256 == stored.sha256):
        return msgspec.structs.replace(entry, stored=row)
    return msgspec.structs.replace(entry, stored=msgspec.structs.replace(stored, judged=""))


async def as_judged_now(stored: StoredFile, resource: Resource, ports: Ports, request_id: str) -> StoredFile:
    """`stored`, with what the rules of now came to: they are asked in replays too, and what they came to when
    it was recorded says nothing of them, also under the same rules: facts that they ask for may have come
    since. Where nobody has judged it under these yet, a fetcher does, by what is stored. Raises `Blocked` and
    its kinds, also of bytes in the place of which others were accepted, and passing errors while nobody can
    tell."""
    file = resource.file
    stored = msgspec.structs.replace(stored, judged="")

    def judged(known: StoredFile | None) -> bool:
        nonlocal stored
        if known is not None and known.sha256 == stored.sha256:
            stored = msgspec.structs.replace(stored, published=known.published, judged=known.judged)
        return ports.judge.admits(resource, stored)

    async def is_known() -> bool:
        known = None
        with contextlib.suppress(PassingError):
            known = await ports.facts.cached(file)
        return judged(known)

    if await is_known():
        return stored
    row = await ports.facts.stored(file)
    if judged(row):
        return stored
    if row is not None and row.sha256 != stored.sha256:  # and that will not change
        raise TooYoung(
            f"{resource.filename} is held back: other bytes stand under its name by now, and nobody can tell "
            "what the rules say of these"
        )
    if row is not None:  # else nothing is left that could be judged without a source
        seconds = ports.settings.request_seconds(resource.protocol)
        job = DateArtifact.of(file, via="", request_id=request_id, alone=True)
        await work_done(job, ports, until=is_known, seconds=seconds)
        if await is_known() or judged(await ports.facts.stored(file)):
            return stored
    raise StoreUnavailable(f"nobody could tell yet whether {resource.filename} may be served now; ask again")
