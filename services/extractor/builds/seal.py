"""Job `seal_build`: the list of a closed session, what it names pinned (docs/decisions/0050).

Objects, then the list, then the rows, then the state: one that is cut off is run again,
and comes to the same list.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

import msgspec

from shared.builds.entries import FORMAT, Absent, BuildList, File, Page, Session, encode, settled
from shared.builds.holding import store_held
from shared.builds.rows import SEALED, STORE, UNSEAL
from shared.builds.sessions import Sessions
from shared.errors import BuildNotFound, Conflict
from shared.errors.passing import StoreUnavailable
from shared.objects.port import BUILDS
from shared.queue.context import JobContext
from shared.queue.jobs import SealBuild
from shared.redis import clock
from shared.stores import Stores
from shared.telemetry.logs import get_logger

log = get_logger()

AT_ONCE = 16
TRIES = 3


class SealBuildJob:
    """Handler of `SealBuild`."""

    def __init__(self, stores: Stores) -> None:
        self._sessions = Sessions(stores.queue_redis)
        self._artifacts = stores.artifacts
        self._objects = stores.objects
        self._database = stores.database
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def __call__(self, ctx: JobContext, job: SealBuild) -> None:
        """Raises `BuildNotFound`, `Conflict` for a session that still records, and what the stores raise."""
        session = await self._sessions.read(job.build)
        if session is None and await self._sessions.was_removed(job.build):
            await self._database.execute(UNSEAL, job.build)
            raise BuildNotFound(f"the build {job.build} was removed")
        if session is None and await self._database.fetchrow(SEALED, job.build) is None:
            raise BuildNotFound(f"there is no build {job.build}")
        if session is None or session.state == "sealed":
            ctx.done()
            return
        if session.state != "closed":
            raise Conflict(
                f"the build {job.build} is still recorded", hint="`orchard build seal` closes it first."
            )
        for _ in range(TRIES):
            sealed = await self._seal(session)
            if sealed is not None:
                break
        else:
            raise StoreUnavailable(f"objects of the build {job.build} are removed as it is sealed")
        if not await self._sessions.finish(sealed):
            await self._database.execute(UNSEAL, job.build)
            raise BuildNotFound(f"the build {job.build} was removed while it was sealed")
        log.info("build_sealed", build=job.build, pages=sealed.pages, files=sealed.files)
        ctx.done()

    async def _seal(self, session: Session) -> Session | None:
        """None: objects were removed after they had been looked at, so that what is missing has changed."""
        entries = settled(await self._sessions.entries(session.id))
        files, lost = await self._files([each for each in entries if isinstance(each, File)])
        asked = [each for each in entries if isinstance(each, Page)]
        kept = await asyncio.gather(*map(self._page, asked))
        pages = [each for each in kept if each is not None]
        lost += [page.identity for page, found in zip(asked, kept, strict=True) if found is None]
        absent = [each for each in entries if isinstance(each, Absent)]
        made = BuildList(FORMAT, session.id, session.name, session.at, pages, files, absent)
        body = encode(made)
        key = f"{BUILDS}/{hashlib.sha256(body).hexdigest()}"
        await self._objects.put_bytes(key, body)
        keys = [key, *(page.info.object_key for page in pages)]
        keys += [file.stored.object_key for file in files if file.stored is not None]
        sealed = msgspec.structs.replace(
            session,
            state="sealed",
            sealed_at=clock.now(),
            list_key=key,
            pages=len(pages),
            files=len(files),
            absent=len(absent),
            missing=tuple(lost),
        )
        if await store_held(self._database, self._objects.stat, STORE, session.id, encode(sealed), keys):
            return None
        row = await self._database.fetchrow(SEALED, session.id)
        assert row is not None
        return msgspec.msgpack.decode(bytes(row["session"]), type=Session)

    async def _files(self, files: Sequence[File]) -> tuple[list[File], list[str]]:
        """All with their facts, and the addresses of those whose bytes are not here."""
        unknown = [each.file for each in files if each.stored is None]
        rows = dict(
            zip(unknown, await self._artifacts.batch_get_cached_urls(unknown), strict=True) if unknown else ()
        )
        known = [
            each if each.stored is not None else msgspec.structs.replace(each, stored=rows[each.file])
            for each in files
        ]
        there = await asyncio.gather(
            *(self._is_there(each.stored.object_key) for each in known if each.stored is not None)
        )
        left = [each for each in known if each.stored is not None]
        kept = [each for each, is_there in zip(left, there, strict=True) if is_there]
        keys = {each.key for each in kept}
        return kept, [each.address for each in files if each.key not in keys]

    async def _page(self, page: Page) -> Page | None:
        """With its body in an object. None: the object that it was in is gone."""
        if page.info.object_key:
            return page if await self._is_there(page.info.object_key) else None
        key = f"{BUILDS}/{hashlib.sha256(page.body).hexdigest()}"
        if not await self._is_there(key):
            async with self._turns:
                await self._objects.put_bytes(key, page.body)
        info = msgspec.structs.replace(page.info, object_key=key)
        return msgspec.structs.replace(page, info=info, body=b"")

    async def _is_there(self, key: str) -> bool:
        async with self._turns:
            return await self._objects.stat(key) is not None
