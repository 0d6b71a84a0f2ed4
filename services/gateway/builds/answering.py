"""`ListedViews`: the answer to a request in a build or in the view of a lock (docs/decisions/0050).

An open build asks as outside, and writes the answer down before that goes out; a sealed one, and a lock,
answer from their list alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from services.gateway.builds.builds import Builds
from services.gateway.builds.lock_views import LockViews
from services.gateway.builds.own_policy import check_name
from services.gateway.builds.recording import absent_of, entry_of, with_its_bytes
from services.gateway.builds.sealed_lists import Sealed, SealedLists
from services.gateway.hits.finished import header_of
from services.gateway.hits.gate import Gate
from services.gateway.hits.hot import KeepSealed
from services.gateway.serving.ports import Ports, Reply
from shared.builds.entries import Session
from shared.errors import BuildSealed, FileNotFound, NotInView, ProjectNotFound
from shared.http.conditions import Conditions
from shared.protocols import protocol_named
from shared.protocols.reading.views import BUILD, LOCK
from shared.protocols.resource import Resource

Plain = Callable[[Resource], Awaitable[Reply]]
"""Answers as outside any build."""


class ListedViews:
    """Of one gateway."""

    def __init__(
        self, builds: Builds, locks: LockViews, lists: SealedLists, ports: Ports, gate: Gate
    ) -> None:
        self._builds = builds
        self._locks = locks
        self._lists = lists
        self._ports = ports
        self._gate = gate

    async def answer(
        self, resource: Resource, conditions: Conditions, who: str, plain: Plain, keep: KeepSealed
    ) -> Reply:
        """The reply. A sealed one's is given to `keep`. Raises `BuildNotFound`, `EnsureNotFound`,
        `BuildSealed`, `BuildFull`, `NotInView`, and what `plain` raises."""
        if resource.view.startswith(LOCK):
            session = await self._locks.read(resource.view.removeprefix(LOCK))
        else:
            session = await self._builds.read(resource.view.removeprefix(BUILD))
        if session.state == "sealed":
            if resource.kind == "own":
                return await plain(resource)
            self._gate.check(protocol_named(resource.protocol), resource)
            return await self._replayed(await self._lists.open(session), resource, conditions, keep)
        if session.state != "open":
            raise BuildSealed(f"the build {session.name or session.id} records no more")
        check_name(session.rules, resource.protocol, resource.project)
        return await self._recorded(session, resource, conditions, who, plain)

    async def _recorded(
        self, session: Session, resource: Resource, conditions: Conditions, who: str, plain: Plain
    ) -> Reply:
        shown = msgspec.structs.replace(resource, view=session.at)
        try:
            reply = await plain(shown)
        except (ProjectNotFound, FileNotFound, NotInView) as error:
            await self._builds.record(session, absent_of(shown, error, who))
            raise
        try:
            reply = await with_its_bytes(shown, conditions, reply, self._ports)
            entry = await entry_of(shown, reply, who, self._ports)
            if entry is not None:
                await self._builds.record(session, entry)
        except BaseException:
            if reply.body is not None and not isinstance(reply.body, (bytes, memoryview)):
                await reply.body.aclose()
            raise
        return reply

    async def _replayed(
        self, known: Sealed, resource: Resource, conditions: Conditions, keep: KeepSealed
    ) -> Reply:
        reply = await known.replay.answer(resource, conditions, self._ports)
        if not conditions.head and reply.status in (200, 304):
            again = msgspec.structs.replace(conditions, if_none_match=header_of(reply, b"etag"))
            unchanged = await known.replay.answer(resource, again, self._ports)
            found = known.replay.file_at(resource)
            keep(reply, unchanged, None if found is None else found.file, known.is_known)
        return reply
