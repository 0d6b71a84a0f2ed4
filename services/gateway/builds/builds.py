"""`Builds`: sessions that record: started, written to, sealed, removed (docs/decisions/0050)."""

from __future__ import annotations

import secrets
from base64 import b32encode
from collections.abc import Sequence

import msgspec

from services.gateway.builds.own_policy import check_got, check_rules, moment_of
from services.gateway.builds.sealed_lists import LOOK_WAIT_SECONDS, SealedLists
from services.gateway.builds.waiting import work_done
from services.gateway.serving.ports import Ports
from shared.builds.entries import Entry, File, Page, Session, decode_session, settled
from shared.builds.rows import LATEST, REMOVE, SEALED
from shared.builds.sessions import CLOSED, FULL, GONE, MANY_OF_ONE, MOST_OF_ONE, STARTED, Sessions
from shared.errors import BuildFull, BuildNotFound, BuildSealed, Conflict
from shared.errors.passing import Overloaded, QueueUnavailable
from shared.policy.named import NamedRule
from shared.postgres.slots import deadline
from shared.protocols.reading.views import View
from shared.queue.jobs import SealBuild
from shared.redis import clock
from shared.stores import Stores


class Builds:
    """All builds that one gateway knows of."""

    def __init__(self, stores: Stores, ports: Ports, lists: SealedLists) -> None:
        self._stores = stores
        self._ports = ports
        self._lists = lists
        self._sessions = Sessions(stores.queue_redis)

    async def start(
        self, name: str, view: View | None, who: str, client: str, rules: Sequence[NamedRule] = ()
    ) -> Session:
        """A new session, held to these rules beside the server's. Raises `Overloaded` where too many are
        open, of this client or at all, `InvalidParameter` for rules that no build can be held to."""
        check_rules(rules)
        id = b32encode(secrets.token_bytes(20)).decode().lower()
        now = clock.now()
        seen = moment_of(rules, view, now)
        at = "" if seen is None else seen.name
        session = Session(id, name, at, created_at=now, created_by=who, rules=tuple(rules))
        came = await self._sessions.start(session, now, client)
        if came != STARTED:
            whose = f"{MOST_OF_ONE} of yours" if came == MANY_OF_ONE else "too many builds"
            raise Overloaded(
                f"{whose} are being recorded: seal some, or let go of some (`orchard build drop`)"
            )
        return session

    async def read(self, id: str) -> Session:
        """Raises `BuildNotFound`, `QueueUnavailable`, `DatabaseUnavailable`."""
        known = await self._lists.still(id, self._is_there)
        if known is not None:
            return known
        away: QueueUnavailable | None = None
        try:
            session = await self._sessions.read(id)
        except QueueUnavailable as error:
            session, away = None, error  # a sealed one is a row
        if session is None:
            with deadline(self._ports.settings.request_seconds()):
                row = await self._stores.database.fetchrow(SEALED, id)
            if row is None:
                raise away or BuildNotFound("there is no such build, or nobody added to it for a week")
            session = decode_session(bytes(row["session"]))
        return session

    async def _is_there(self, known: Session) -> bool:
        with deadline(LOOK_WAIT_SECONDS):
            return await self._stores.database.fetchrow(SEALED, known.id) is not None

    async def remove(self, id: str, who: str, request_id: str) -> None:
        """Forget a build: what only it names is evicted and swept as any. Other gateways answer it for some
        seconds more. First what an extractor that is sealing it asks for, then its row: what fails between
        is a sealed build still, or none. Raises `BuildNotFound` and what the stores raise."""
        had = await self._sessions.drop(id)
        self._lists.forget(id)
        with deadline(self._ports.settings.request_seconds()):
            row = await self._stores.database.fetchrow(REMOVE, who, request_id, id)
        if row is None and not had:
            raise BuildNotFound("there is no such build")

    async def drop(self, id: str) -> None:
        """Let go of one that is not sealed. Raises `Conflict` for one that is, and as `read`."""
        if (await self.read(id)).state == "sealed":
            raise Conflict("the build is sealed", hint="`orchard build remove` is an operator's.")
        await self._sessions.drop(id)
        self._lists.forget(id)

    async def recorded(self) -> list[Session]:
        """Those that are not sealed, the newest first: `MOST_OPEN` at most."""
        found = [await self._sessions.read(id) for id in await self._sessions.open_ids()]
        return [each for each in reversed(found) if each is not None and each.state != "sealed"]

    async def sealed(self, before: int, id: str, most: int) -> list[tuple[Session, int]]:
        """The newest sealed ones before this microsecond of unix time and id, each with its own."""
        with deadline(self._ports.settings.request_seconds()):
            rows = await self._stores.database.fetch(LATEST, before, id, most)
        return [(decode_session(bytes(row["session"])), row["us"]) for row in rows]

    async def entries(self, session: Session) -> list[Entry]:
        """What it holds so far, or for ever."""
        if session.state != "sealed":
            return settled(await self._sessions.entries(session.id))
        listed = (await self._lists.open(session)).replay.listed
        return [*listed.pages, *listed.files, *listed.absent]

    async def seal(self, id: str, request_id: str) -> Session:
        """The sealed session. Again the same, also after one that was cut off. Raises `BuildNotFound`, and
        `Conflict` for one that got what its own policy is against: it records no more, and stays unsealed."""
        session = await self.read(id)
        if session.state == "sealed":
            return session
        await self._sessions.close(id)
        seconds = self._ports.settings.request_seconds()
        if session.rules:
            await check_got(session.rules, await self._files(id), self._stores, seconds)

        async def is_sealed() -> bool:
            return (await self.read(id)).state == "sealed"

        job = SealBuild(build=id, request_id=request_id)
        await work_done(job, self._ports, until=is_sealed, seconds=seconds)
        self._lists.forget_answers(id)  # what it answered while it was recorded
        return await self.read(id)

    async def _files(self, id: str) -> list[File]:
        """What it got, with the facts of those that are stored by now."""
        files = [each for each in await self._sessions.entries(id) if isinstance(each, File)]
        unknown = [each.file for each in files if each.stored is None]
        rows = await self._stores.artifacts.batch_get_cached_urls(unknown) if unknown else []
        known = dict(zip(unknown, rows, strict=True))
        return [
            each if each.stored is not None else msgspec.structs.replace(each, stored=known[each.file])
            for each in files
        ]

    async def record(self, session: Session, entry: Entry) -> None:
        """Write an answer down, before that goes out. Raises `BuildSealed`, `BuildNotFound`, `BuildFull`,
        `QueueUnavailable`."""
        object_key = entry.info.object_key if isinstance(entry, Page) else ""
        came = await self._sessions.put(session.id, entry, clock.now(), object_key)
        if came == CLOSED:
            raise BuildSealed(f"the build {session.name or session.id} records no more")
        if came == GONE:
            raise BuildNotFound("there is no such build any more")
        if came == FULL:
            raise BuildFull(f"the build {session.name or session.id} has no room for more")
