"""`Builds`: sessions that record what they answer, and sealed ones that answer what was recorded
(docs/decisions/0050)."""

from __future__ import annotations

import secrets
import time
from base64 import b32encode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import msgspec

from services.gateway.builds.own_policy import check_got, check_name, check_rules, moment_of
from services.gateway.builds.recording import absent_of, entry_of, with_its_bytes
from services.gateway.builds.replay import Replay
from services.gateway.builds.waiting import work_done
from services.gateway.hits.finished import header_of
from services.gateway.hits.gate import Gate
from services.gateway.hits.hot import KeepSealed
from services.gateway.serving.ports import Ports, Reply
from services.gateway.serving.rebasing import PLACEHOLDER
from shared.builds.entries import (
    Entry,
    File,
    Page,
    Session,
    decode_list,
    decode_session,
    settled,
)
from shared.builds.rows import LATEST, OF_LOCK, REMOVE, SEALED
from shared.builds.sessions import CLOSED, FULL, GONE, MANY_OF_ONE, MOST_OF_ONE, STARTED, Sessions
from shared.errors import (
    BuildFull,
    BuildNotFound,
    BuildSealed,
    EnsureNotFound,
    FileNotFound,
    NotInView,
    OrchardError,
    ProjectNotFound,
)
from shared.errors.passing import Overloaded, QueueUnavailable, StoreUnavailable
from shared.http.conditions import Conditions
from shared.objects.verify import read_whole
from shared.policy.named import NamedRule
from shared.postgres.slots import deadline
from shared.process.bounded import Bounded
from shared.protocols import protocol_named
from shared.protocols.reading.views import BUILD, LOCK, View, is_lock_key
from shared.protocols.resource import Resource
from shared.queue.jobs import SealBuild, SealLock
from shared.redis import clock
from shared.stores import Stores

MOST_LISTS = 64
MOST_BYTES = 256 * 1024 * 1024  # of lists in memory, estimated
LIST_FACTOR = 4  # memory of a list's objects to its bytes
MOST_LISTED = 500
LOOK_SECONDS = 5.0  # so often a gateway asks whether a sealed build in its memory was removed
LOOK_WAIT_SECONDS = 1.0

Plain = Callable[[Resource], Awaitable[Reply]]


@dataclass
class _Sealed:
    session: Session
    replay: Replay
    look_at: float  # monotonic: when it is asked next whether it was removed

    def is_known(self) -> bool:
        """Whether it is surely there, without asking."""
        return time.monotonic() < self.look_at


class Builds:
    """All builds that one gateway knows of."""

    def __init__(self, stores: Stores, ports: Ports, gate: Gate, forget_hot: Callable[[str], None]) -> None:
        """`forget_hot`: forgets what is in memory of a view."""
        self._forget_hot = forget_hot
        self._stores = stores
        self._gate = gate
        self._ports = ports
        self._sessions = Sessions(stores.queue_redis)
        self._sealed = Bounded[str, _Sealed](MOST_LISTS, max_weight=MOST_BYTES)

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
            raise Overloaded(f"{whose} are being recorded: seal some")
        return session

    async def read(self, id: str) -> Session:
        """Raises `BuildNotFound`, `QueueUnavailable`, `DatabaseUnavailable`."""
        known = self._sealed.get(id)
        if known is not None:
            if not known.is_known() and not await self._is_there(id, known):
                self._forget(id)
                raise BuildNotFound("this build was removed")
            return known.session
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

    async def _is_there(self, id: str, known: _Sealed) -> bool:
        """Whether a sealed build still is: where nobody can be asked it is, for it answers offline."""
        known.look_at = time.monotonic() + LOOK_SECONDS  # one request asks for all
        try:
            with deadline(LOOK_WAIT_SECONDS):
                return await self._stores.database.fetchrow(SEALED, id) is not None
        except OrchardError:
            return True

    async def remove(self, id: str, who: str, request_id: str) -> None:
        """Forget a build: what only it names is evicted and swept as any. Other gateways answer it for some
        seconds more. First what an extractor that is sealing it asks for, then its row: what fails between
        is a sealed build still, or none. Raises `BuildNotFound` and what the stores raise."""
        had = await self._sessions.drop(id)
        self._forget(id)
        with deadline(self._ports.settings.request_seconds()):
            row = await self._stores.database.fetchrow(REMOVE, who, request_id, id)
        if row is None and not had:
            raise BuildNotFound("there is no such build")

    def _forget(self, id: str) -> None:
        self._sealed.pop(id)
        self._forget_hot((LOCK if is_lock_key(id) else BUILD) + id)

    async def all(self) -> list[Session]:
        """Those that are recorded, then the sealed ones, the newest first; at most `MOST_LISTED`."""
        found = [await self._sessions.read(id) for id in await self._sessions.open_ids()]
        with deadline(self._ports.settings.request_seconds()):
            rows = await self._stores.database.fetch(LATEST, MOST_LISTED)
        sealed = [decode_session(bytes(row["session"])) for row in rows]
        return [*(each for each in reversed(found) if each is not None), *sealed][:MOST_LISTED]

    async def entries(self, session: Session) -> list[Entry]:
        """What it holds so far, or for ever."""
        if session.state != "sealed":
            return settled(await self._sessions.entries(session.id))
        listed = (await self._replay(session)).replay.listed
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
        self._forget_hot(BUILD + id)  # what it answered while it was recorded
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

    async def lock(self, key: str, request_id: str = "") -> Session:
        """A kept lock as a sealed build, made of it when it is first asked for, and anew once another lock is
        kept under its key. Raises `EnsureNotFound`, and what `SealLock` fails with."""
        known = self._sealed.get(key)
        if known is not None:
            if known.is_known() or await self._is_kept(key, known):
                return known.session
            self._forget(key)
        seconds = self._ports.settings.request_seconds()
        of = await self._kept_lock(key, seconds)
        session = await self._sealed_lock(key, of, seconds)
        if session is None and not of:
            raise EnsureNotFound(f"there is no lock {key}")
        if session is not None:
            return session

        async def is_made() -> bool:
            return await self._sealed_lock(key, of, seconds) is not None

        job = SealLock(key=key, base_url=PLACEHOLDER, request_id=request_id)
        await work_done(job, self._ports, until=is_made, seconds=seconds)
        session = await self._sealed_lock(key, of, seconds)
        if session is None:
            raise StoreUnavailable("another lock was kept under the key meanwhile")
        return session

    async def _is_kept(self, key: str, known: _Sealed) -> bool:
        """Whether it is still what stands under the key: where nobody can be asked it is."""
        known.look_at = time.monotonic() + LOOK_SECONDS
        try:
            of = await self._kept_lock(key, LOOK_WAIT_SECONDS)
            session = await self._sealed_lock(key, of, LOOK_WAIT_SECONDS)
        except OrchardError:
            return True
        return session is not None and session.list_key == known.session.list_key

    async def _kept_lock(self, key: str, seconds: float) -> str:
        """The SHA256 of the lock that is kept under a key; "": none is, as after an import."""
        with deadline(seconds):
            row = await self._stores.database.fetchrow(OF_LOCK, bytes.fromhex(key))
        return "" if row is None else str(row["sha256"])

    async def _sealed_lock(self, key: str, of: str, seconds: float) -> Session | None:
        """What was made of the lock with this SHA256, or came in a bundle."""
        with deadline(seconds):
            row = await self._stores.database.fetchrow(SEALED, key)
        session = None if row is None else decode_session(bytes(row["session"]))
        return session if session is not None and of in ("", session.lock) else None

    async def answer(
        self, resource: Resource, conditions: Conditions, who: str, plain: Plain, keep: KeepSealed
    ) -> Reply:
        """The reply to a request in a build. An open one asks `plain`, and writes its answer down before that
        goes out; a sealed one's is given to `keep`. Raises `BuildNotFound`, `BuildSealed`, `BuildFull`,
        `NotInView`, and what `plain` raises."""
        if resource.view.startswith(LOCK):
            session = await self.lock(resource.view.removeprefix(LOCK))
        else:
            session = await self.read(resource.view.removeprefix(BUILD))
        if session.state == "sealed":
            if resource.kind == "own":
                return await plain(resource)
            self._gate.check(protocol_named(resource.protocol), resource)
            return await self._replayed(await self._replay(session), resource, conditions, keep)
        if session.state != "open":
            raise BuildSealed(f"the build {session.name or session.id} records no more")
        check_name(session.rules, resource.protocol, resource.project)
        shown = msgspec.structs.replace(resource, view=session.at)
        try:
            reply = await plain(shown)
        except (ProjectNotFound, FileNotFound, NotInView) as error:
            await self._record(session, absent_of(shown, error, who))
            raise
        try:
            reply = await with_its_bytes(shown, conditions, reply, self._ports)
            entry = await entry_of(shown, reply, who, self._ports)
            if entry is not None:
                await self._record(session, entry)
        except BaseException:
            if reply.body is not None and not isinstance(reply.body, (bytes, memoryview)):
                await reply.body.aclose()
            raise
        return reply

    async def _replayed(
        self, known: _Sealed, resource: Resource, conditions: Conditions, keep: KeepSealed
    ) -> Reply:
        reply = await known.replay.answer(resource, conditions, self._ports)
        if not conditions.head and reply.status in (200, 304):
            again = msgspec.structs.replace(conditions, if_none_match=header_of(reply, b"etag"))
            unchanged = await known.replay.answer(resource, again, self._ports)
            found = known.replay.file_at(resource)
            keep(reply, unchanged, None if found is None else found.file, known.is_known)
        return reply

    async def _record(self, session: Session, entry: Entry) -> None:
        object_key = entry.info.object_key if isinstance(entry, Page) else ""
        came = await self._sessions.put(session.id, entry, clock.now(), object_key)
        if came == CLOSED:
            raise BuildSealed(f"the build {session.name or session.id} records no more")
        if came == GONE:
            raise BuildNotFound("there is no such build any more")
        if came == FULL:
            raise BuildFull(f"the build {session.name or session.id} has no room for more")

    async def _replay(self, session: Session) -> _Sealed:
        known = self._sealed.get(session.id)
        if known is not None:
            return known
        try:
            body = await read_whole(self._stores.bare_objects, session.list_key, self._stores.threads)
        except StoreUnavailable as error:
            raise StoreUnavailable(
                f"the list of the build {session.id} cannot be read: {error.message}"
            ) from None
        known = _Sealed(session, Replay(decode_list(body), session.missing), time.monotonic() + LOOK_SECONDS)
        self._sealed.put(session.id, known, len(body) * LIST_FACTOR)
        return known
