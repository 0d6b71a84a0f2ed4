"""`Quarantine`: a row for each stored file that is malware, by which it is kept as evidence.

The rows follow the verdict, whatever changes it: advisories (`settle`, by whoever read them), and exemptions,
blocks and which feeds count (`follow`). What was settled last is told by a mark in the queue Redis: a
fetcher that knows no more than the mark looks at everything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence

import msgspec

from services.fetcher.feeds.concerned import STORED, concerned
from shared.access.feeds import KEY, Project
from shared.access.watcher import AccessWatcher
from shared.models import FileName
from shared.policy.policy import Policy
from shared.policy.rules import Block, Exemption
from shared.protocols import named_alike, protocol_named
from shared.redis.script import take_mark
from shared.stores import Stores
from shared.telemetry.logs import get_logger

log = get_logger()

MARK = f"{KEY}:settling"
FIELD = "settled"  # of the hash at `KEY`
TURN_SECONDS = 2.0  # so long the others leave it to whoever has begun; to do it twice changes nothing

_FILES = """
SELECT protocol, project, file_id, filename, sha256 FROM cached_urls
WHERE protocol = $1 AND project = ANY($2::text[]) AND role = 'file'
"""
_OF_BYTES = "SELECT DISTINCT protocol, project FROM cached_urls WHERE sha256 = ANY($1::bytea[])"
_HOLD = """
INSERT INTO quarantine (protocol, project, file_id, filename, version, sha256, advisory)
SELECT $1, project, file_id, filename, version, sha256, advisory
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::text[])
    AS t (project, file_id, filename, version, sha256, advisory)
ON CONFLICT (protocol, project, file_id, filename) DO UPDATE SET advisory = excluded.advisory
RETURNING project, filename, advisory, xmax = 0 AS is_new
"""
_RELEASE = """
DELETE FROM quarantine WHERE protocol = $1 AND project = ANY($2::text[])
    AND NOT (project || E'\\n' || file_id || E'\\n' || filename) = ANY($3::text[])
"""

What = tuple[str, str, str, str, bool]
"""Protocol, name, version and SHA256 of a block or an exemption, and whether that counts of malware."""


class Standing(msgspec.Struct, frozen=True):
    """What decides beside the advisories themselves."""

    exempt: frozenset[What]
    blocked: frozenset[What]
    feeds: frozenset[str]

    @property
    def mark(self) -> bytes:
        parts = [sorted(self.exempt), sorted(self.blocked), sorted(self.feeds)]
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest().encode()


class Quarantine:
    """Of one fetcher. Methods raise what the stores raise; doing it again changes nothing."""

    def __init__(self, stores: Stores, access: AccessWatcher) -> None:
        self._database = stores.database
        self._redis = stores.queue_redis
        self._artifacts = stores.artifacts
        self._access = access
        self._settled: Standing | None = None  # None: this process has settled nothing, or seen it settled
        self._policy: Policy | None = None  # under which that was

    async def settle(self, changed: Collection[Project] | None) -> None:
        """Of the projects that changed (None: of any), by the policy of now."""
        async for protocol, names in concerned(self._database, STORED, changed):
            await self._settle(protocol, names)

    async def follow(self) -> None:
        """Settle what a change of exemptions, blocks or feeds is about, unless another fetcher has, or does
        so now. While nobody knows what is malware, nothing is given back."""
        policy = self._access.policy
        if policy is self._policy or policy.is_blind or self._access.state is None:
            return
        standing = self._standing()
        settled = await self._redis.command("HGET", KEY, FIELD)
        if settled != standing.mark:
            if not await take_mark(self._redis, MARK, TURN_SECONDS):
                return
            await self._access.catch_up()
            if self._access.policy is not policy:  # what another has settled may be newer
                return
            known = self._settled is not None and self._settled.mark == settled
            await self.settle(await self._difference(self._settled, standing) if known else None)
            await self._redis.command("HSET", KEY, FIELD, standing.mark)
        self._settled, self._policy = standing, policy

    def _standing(self) -> Standing:
        access = self._access
        assert access.state is not None
        feeds = access.feeds.state.feeds if access.advisories is not None else ()
        return Standing(
            frozenset(map(_what, access.policy.exemptions)),
            frozenset(map(_what, access.state.blocks)),
            frozenset(each.feed for each in feeds),
        )

    async def _difference(self, old: Standing | None, new: Standing) -> set[Project] | None:
        """The projects that it can match; None: it may be any."""
        if old is None or old.feeds != new.feeds:
            return None
        different = (old.exempt ^ new.exempt) | (old.blocked ^ new.blocked)
        named = [(protocol, name) for protocol, name, _, sha256, _ in different if not sha256]
        digests = [bytes.fromhex(sha256) for *_, sha256, _ in different if sha256]
        for row in await self._database.fetch(_OF_BYTES, digests) if digests else ():
            named.append((row["protocol"], row["project"]))
        return {(protocol, named_alike(protocol, name)) for protocol, name in named}

    async def _settle(self, name: str, projects: Sequence[str]) -> None:
        protocol, policy = protocol_named(name), self._access.policy
        held: list[tuple[str, str, str, str, bytes, str]] = []
        advised = [each for each in projects if policy.of(name, each).advised is not None]
        for row in await self._database.fetch(_FILES, name, advised) if advised else ():
            file = FileName(name, row["project"], row["file_id"], row["filename"])
            sha256 = bytes(row["sha256"])
            version = protocol.grammar.version_asked(protocol.grammar.artifact_resource(file))
            found = policy.of(name, file.project).as_evidence(version, sha256.hex())
            if found is not None:
                held.append((file.project, file.file_id, file.filename, version, sha256, found.why[:128]))
        kept = ["\n".join(each[:3]) for each in held]
        await self._database.execute(_RELEASE, name, list(projects), kept)
        if not held:
            return
        columns = [list(column) for column in zip(*held, strict=True)]
        for row in await self._database.fetch(_HOLD, name, *columns):
            if row["is_new"]:
                project, filename = row["project"], row["filename"]
                log.warning("file_quarantined", protocol=name, project=project, filename=filename)
                await self._artifacts.record_event(
                    "malware_stored", name, project, filename, {"advisory": row["advisory"]}
                )


def _what(of: Block) -> What:
    covers = isinstance(of, Exemption) and of.covers_malware
    return of.protocol, of.name, of.version, of.sha256, covers
