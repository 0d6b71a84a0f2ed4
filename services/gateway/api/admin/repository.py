"""`AdminRepository`: what operators change, each change with its line in the audit, in one statement.

A change without its line cannot be: both are one statement, and so one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from services.gateway.api.admin.access_types import (
    AuditEntry,
    BlockEntry,
    ExemptionEntry,
    NewBlock,
    TokenEntry,
)
from services.gateway.api.admin.statements import (
    ADD_ACCESS,
    ADD_BLOCK,
    ADD_EXEMPTION,
    ADD_UPSTREAM,
    CHANGE_UPSTREAM,
    DROP_ACCESS,
    DROP_BLOCK,
    DROP_EXEMPTION,
    DROP_PIN,
    DROP_UPSTREAM,
    FORGET_ABSENCES,
    LIST_ACCESS,
    LIST_AUDIT,
    LIST_BLOCKS,
    LIST_EXEMPTIONS,
    LIST_PINS,
    LIST_UPSTREAMS,
    MOST,
    NOTE,
    NOTE_ONCE,
    PAGES_OF,
    ROTATE_ACCESS,
    SET_PIN,
)
from services.gateway.api.admin.upstream_types import Pin, Upstream
from shared.access.bounds import UNBOUND, Bounds, bounded_digest
from shared.errors import Conflict, EntryNotFound
from shared.postgres.database import Database, Row
from shared.protocols.package_urls import purl
from shared.settings import upstream_variable
from shared.sources.options import known_options

LINES_BACK = 1000  # of the audit: a question whose line is older is noted again

# Hints: what there is to name.
UPSTREAMS = "`orchard upstreams list` shows them."
BLOCKS = "`orchard blocks list` shows them."
EXEMPTIONS = "`orchard exempt list` shows them."
TOKENS = "`orchard tokens list` shows them."


class Actor(msgspec.Struct, frozen=True):
    """Who makes a change, and in which request."""

    name: str
    request_id: str = ""


class AdminRepository:
    """Every method raises `DatabaseUnavailable` and `InvalidData` besides what it names."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- upstreams --------------------------------------------------------------------------------

    async def upstreams(self, protocol: str = "") -> list[Upstream]:
        """In the order in which they are asked, protocol by protocol."""
        return [_upstream(row["shown"]) for row in await self._database.fetch(LIST_UPSTREAMS, protocol, 0)]

    async def upstream(self, upstream_id: int) -> Upstream:
        """Raises `EntryNotFound`."""
        row = await self._database.fetchrow(LIST_UPSTREAMS, "", upstream_id)
        if row is None:
            raise EntryNotFound(f"there is no upstream {upstream_id}", hint=UPSTREAMS)
        return _upstream(row["shown"])

    async def add_upstream(self, actor: Actor, values: Sequence[Any]) -> Upstream:
        """`values`: as ADD_UPSTREAM takes them. Raises `Conflict` for a name that the protocol has."""
        row = await self._database.fetchrow(ADD_UPSTREAM, actor.name, actor.request_id, *values)
        if row is None:
            raise Conflict(
                f"name: {values[0]} has an upstream {values[1]!r} already",
                hint=f"Take another name, or change that one. {UPSTREAMS}",
            )
        return _upstream(row["shown"])

    async def change_upstream(self, actor: Actor, upstream_id: int, values: Sequence[Any]) -> Upstream:
        """`values`: as CHANGE_UPSTREAM takes them, None = as it is. Raises `EntryNotFound`."""
        row = await self._database.fetchrow(
            CHANGE_UPSTREAM, actor.name, actor.request_id, upstream_id, *values
        )
        if row is None:
            raise EntryNotFound(
                f"there is no upstream {upstream_id}, or it was changed just now", hint=UPSTREAMS
            )
        return _upstream(row["shown"])

    async def drop_upstream(self, actor: Actor, upstream_id: int) -> Upstream:
        """Raises `EntryNotFound`, and `Conflict` for one that its variable would bring back."""
        known = await self.upstream(upstream_id)
        row = await self._database.fetchrow(DROP_UPSTREAM, actor.name, actor.request_id, upstream_id)
        if row is None:
            raise Conflict(
                f"{known.name} follows {upstream_variable(known.protocol)}: take it out there, or pause it",
                hint=f"`orchard upstreams pause {known.protocol}/{known.name}` has it asked no more.",
            )
        return _upstream(row["shown"])

    # --- pins and pages ---------------------------------------------------------------------------

    async def pins(
        self, protocol: str, prefix: str, after: Sequence[Any] | None, limit: int
    ) -> list[tuple[Pin, list[Any]]]:
        """`limit` pins after a key (protocol, project), with the key of each."""
        start = after or ["", ""]
        rows = await self._database.fetch(LIST_PINS, protocol, prefix, *start, limit)
        return [
            (Pin(**{**row, "sources": tuple(row["sources"])}), [row["protocol"], row["project"]])
            for row in rows
        ]

    async def set_pin(
        self, actor: Actor, protocol: str, project: str, sources: Sequence[str], group: str = ""
    ) -> None:
        """Pins a project to the sources of these names, over an earlier pin; where the name stands for a
        `group` (`Names.group_prefix`), over the pins of its projects. Raises `EntryNotFound` for a source
        that the protocol lacks."""
        names = sorted(set(sources))
        if not await self._database.fetch(
            SET_PIN, actor.name, actor.request_id, protocol, project, names, group
        ):
            raise EntryNotFound(f"{protocol} lacks one of the upstreams {', '.join(names)}", hint=UPSTREAMS)

    async def drop_pin(self, actor: Actor, protocol: str, project: str) -> None:
        """Raises `EntryNotFound`."""
        if not await self._database.fetch(DROP_PIN, actor.name, actor.request_id, protocol, project):
            raise EntryNotFound(
                f"{protocol}: {project} is not pinned", hint=f"`orchard pins list {protocol}` shows what is."
            )

    async def pages_of(self, protocol: str, project: str) -> list[str]:
        """Identities of the project's indexes that were ever stored."""
        return [row["identity"] for row in await self._database.fetch(PAGES_OF, protocol, project)]

    async def forget_absences(self, protocol: str, project: str, group: str = "") -> list[str]:
        """Deletes the absences of a project, or of a group's; returns their identities."""
        rows = await self._database.fetch(FORGET_ABSENCES, protocol, project, group)
        return [row["identity"] for row in rows]

    async def note(self, actor: Actor, action: str, subject: str, after: Any) -> None:
        """Write an audit line for a change that touches no row."""
        text = msgspec.json.encode(after).decode()
        await self._database.execute(NOTE, actor.name, actor.request_id, action, subject, text)

    async def note_question(
        self, actor: Actor, action: str, subject: str, after: Any, *, first: bool
    ) -> None:
        """Write an audit line for a question to the ledger: one for all of its pages. A cursor alone does not
        tell a further one: anybody can make one that the first page comes after."""
        if first:
            await self.note(actor, action, subject, after)
            return
        text = msgspec.json.encode(after).decode()
        of = actor.name, actor.request_id, action, subject, text
        await self._database.execute(NOTE_ONCE, *of, LINES_BACK)

    # --- blocks and tokens --------------------------------------------------------------------------

    async def blocks(self) -> list[BlockEntry]:
        """All, the oldest first."""
        return [BlockEntry(**row) for row in await self._database.fetch(LIST_BLOCKS)]

    async def add_block(self, actor: Actor, block: NewBlock) -> BlockEntry:
        """`block` canonical. Raises `Conflict` for one that is there, or for one too many."""
        digest = bytes.fromhex(block.sha256) if block.sha256 else None
        row = await self._database.fetchrow(
            ADD_BLOCK, actor.name, actor.request_id, block.protocol, block.name, block.version, digest,
            block.reason, MOST,
        )  # fmt: skip
        if row is None:
            full = len(await self.blocks()) >= MOST
            raise Conflict(
                f"{MOST} blocks are there, which is the most" if full else "this is blocked already",
                hint=BLOCKS + (" `orchard blocks remove ID` makes room." if full else ""),
            )
        return BlockEntry(**row)

    async def drop_block(self, actor: Actor, block_id: int) -> None:
        """Raises `EntryNotFound`."""
        if not await self._database.fetch(DROP_BLOCK, actor.name, actor.request_id, block_id):
            raise EntryNotFound(f"there is no block {block_id}", hint=BLOCKS)

    async def exemptions(self) -> list[ExemptionEntry]:
        """All, the oldest first."""
        return [_exemption(row) for row in await self._database.fetch(LIST_EXEMPTIONS)]

    async def add_exemption(
        self, actor: Actor, what: NewBlock, expires_at: float | None, *, covers_malware: bool
    ) -> ExemptionEntry:
        """`what` canonical. Raises `Conflict` for one that is there, or for one too many."""
        digest = bytes.fromhex(what.sha256) if what.sha256 else None
        row = await self._database.fetchrow(
            ADD_EXEMPTION, actor.name, actor.request_id, what.protocol, what.name, what.version, digest,
            what.reason, expires_at, MOST, covers_malware,
        )  # fmt: skip
        if row is None:
            full = len(await self.exemptions()) >= MOST
            raise Conflict(
                f"{MOST} exemptions are there, which is the most" if full else "this is exempt already",
                hint=f"`orchard exempt remove` ends one. {EXEMPTIONS}",
            )
        return _exemption(row)

    async def drop_exemption(self, actor: Actor, exemption_id: int) -> None:
        """Raises `EntryNotFound`."""
        if not await self._database.fetch(DROP_EXEMPTION, actor.name, actor.request_id, exemption_id):
            raise EntryNotFound(f"there is no exemption {exemption_id}", hint=EXEMPTIONS)

    async def tokens(self) -> list[TokenEntry]:
        """All, the oldest first."""
        return [_token(row) for row in await self._database.fetch(LIST_ACCESS)]

    async def add_token(
        self, actor: Actor, name: str, scope: str, digest: bytes, owner: str = "", bounds: Bounds = UNBOUND
    ) -> int:
        """The new token's id. Raises `Conflict` for a name that is taken, or for one too many."""
        stored, kept = _stored(digest, bounds)
        row = await self._database.fetchrow(
            ADD_ACCESS, actor.name, actor.request_id, name, scope, stored, owner, kept, MOST
        )
        if row is None:
            taken = any(each.name == name for each in await self.tokens())
            raise Conflict(
                f"name: there is a token {name!r} already" if taken else f"there are {MOST} tokens, the most",
                hint="Take another name." if taken else f"`orchard tokens revoke ID` makes room. {TOKENS}",
            )
        return int(row["id"])

    async def rotate_token(
        self, actor: Actor, token_id: int, digest: bytes, bounds: Bounds
    ) -> tuple[str, str]:
        """Another one in its place; name and scope, which stay. Raises `EntryNotFound`."""
        stored, kept = _stored(digest, bounds)
        row = await self._database.fetchrow(
            ROTATE_ACCESS, actor.name, actor.request_id, token_id, stored, kept
        )
        if row is None:
            raise EntryNotFound(f"there is no token {token_id}", hint=TOKENS)
        return row["name"], row["scope"]

    async def drop_token(self, actor: Actor, token_id: int) -> None:
        """Raises `EntryNotFound`."""
        if not await self._database.fetch(DROP_ACCESS, actor.name, actor.request_id, token_id):
            raise EntryNotFound(f"there is no token {token_id}", hint=TOKENS)

    # --- audit ----------------------------------------------------------------------------------------

    async def audit(self, before: int, limit: int) -> list[tuple[AuditEntry, list[Any]]]:
        """`limit` entries older than the id `before`, the newest first, with the key of each."""
        found = []
        for row in await self._database.fetch(LIST_AUDIT, before, limit):
            values = {**row, "before": _json(row["before"]), "after": _json(row["after"])}
            found.append((AuditEntry(**values), [row["id"]]))
        return found


def _stored(digest: bytes, bounds: Bounds) -> tuple[bytes, str | None]:
    """Digest and bounds as the row holds them."""
    if bounds == UNBOUND:
        return digest, None
    return bounded_digest(digest), msgspec.json.encode(bounds).decode()


def _token(row: Row) -> TokenEntry:
    values = {**row}
    told = values.pop("bounds")
    bounds = UNBOUND if told is None else msgspec.json.decode(told, type=Bounds)
    return TokenEntry(
        **values,
        expires_at=bounds.expires_at or None,
        networks=bounds.networks,
        protocols=bounds.protocols,
        names=bounds.names,
    )


def _exemption(row: Row) -> ExemptionEntry:
    what = row["sha256"] or purl(row["protocol"], row["name"], row["version"])
    return ExemptionEntry(
        row["id"], what, row["reason"], row["expires_at"], row["created_at"], row["created_by"],
        row["covers_malware"],
    )  # fmt: skip


def _upstream(shown: str) -> Upstream:
    values = msgspec.json.decode(shown)
    options = known_options(values.pop("options"))
    values["patterns"] = values.pop("include")
    return Upstream(**values, options=options)


def _json(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)
