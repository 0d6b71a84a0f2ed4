"""The blocks of upstreams that are Orchards, brought here: what is stored is withheld too, and for how long.

Each such source is asked every few seconds, by one of all fetchers; what it told last stands while it cannot
be asked. Of that only what is about this source counts: a project that it serves here, or would be the first
to be asked for, and bytes that came from it and from nobody else. So nobody can have blocked by this what it
could not refuse by itself (docs/decisions/0038).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import msgspec

from services.fetcher.http.manager import HttpClientManager
from services.fetcher.http.response import FetchedBody, decode_body
from services.fetcher.sources.policy import owners
from services.fetcher.sources.repository import SourceSet
from services.fetcher.sources.watcher import SourceWatcher
from shared.artifacts.rows import first_pinned
from shared.cache.keys import Category, cache_key
from shared.digests import is_sha256
from shared.errors import OrchardError, UpstreamInvalid
from shared.http.via import teller
from shared.models import FileName, UpstreamSource
from shared.policy.rules import ToldBlock
from shared.postgres.database import Database
from shared.process.periodic import Every
from shared.protocols import protocol_named
from shared.protocols.base import PackageProxyBase
from shared.redis.script import take_mark
from shared.stores import Stores
from shared.telemetry.logs import get_logger

log = get_logger()

ASKED_EVERY_SECONDS = 10.0
ANSWER_SECONDS = 8.0
MOST = 10_000  # as an Orchard takes of its own; what comes after so many is not looked at
MAX_BYTES = 32 * 1024 * 1024  # of so many, with names and reasons as long as they may be
MAX_REASON = 1024  # characters
BATCH = 1_000  # digests of one statement
NAMES = 250  # of one statement, with all their spellings: so many hold up the event loop for no time

_READ = "SELECT url, etag, told::text AS told FROM upstream_blocks WHERE source_id = $1"
# Touched only where something changed: each change is read anew by all processes.
_WRITE = """
INSERT INTO upstream_blocks AS u (source_id, url, etag, told, counting)
SELECT id, url, $3, $4::jsonb, $5::jsonb FROM upstream_sources WHERE id = $1 AND url = $2
ON CONFLICT (source_id) DO UPDATE
SET url = excluded.url, etag = excluded.etag, told = excluded.told, counting = excluded.counting
WHERE (u.url, u.etag, u.counting) IS DISTINCT FROM (excluded.url, excluded.etag, excluded.counting)
"""
_PINS = """
SELECT project, source_id FROM project_pins WHERE protocol = $1 AND project = ANY($2::text[])
UNION ALL
SELECT project, source_id FROM shared_pins WHERE protocol = $1 AND project = ANY($2::text[])
"""
_STORED = """
SELECT project, file_id, filename, encode(sha256, 'hex') AS sha256 FROM cached_urls
WHERE protocol = $1 AND source_id = $2 AND project = ANY($3::text[])
"""
_SERVED = """
SELECT encode(sha256, 'hex') AS sha256 FROM cached_urls WHERE sha256 = ANY($1::bytea[])
GROUP BY sha256 HAVING bool_and(source_id = $2)
"""


class _Told(msgspec.Struct, frozen=True):
    """The answer of /api/v1/blocks."""

    items: list[ToldBlock]


class _Known(msgspec.Struct, frozen=True):
    etag: str = ""
    told: tuple[ToldBlock, ...] = ()


_decode = msgspec.json.Decoder(_Told).decode
_stored = msgspec.json.Decoder(tuple[ToldBlock, ...]).decode


def address_of(protocol: PackageProxyBase, url: str) -> str:
    """Where the Orchard at a source's address tells its blocks; "" if the address does not show its root."""
    root, mount, _ = url.rpartition(protocol.mount)
    return f"{root}/api/v1/blocks?protocol={protocol.name}" if mount and "://" in root else ""


class UpstreamBlocks:
    """Asks in the background. The caller opens and closes it."""

    def __init__(self, stores: Stores, *, sources: SourceWatcher, http: HttpClientManager) -> None:
        self._stores = stores
        self._rows = UpstreamBlockRows(stores.database)
        self._sources = sources
        self._http = http
        self._turns = Every(ASKED_EVERY_SECONDS, self._turn, name="blocks of upstreams")

    async def open(self) -> None:
        """Start."""
        await self._turns.open()

    async def aclose(self) -> None:
        """Stop."""
        await self._turns.aclose()

    async def _turn(self) -> None:
        if self._stores.settings.offline:
            return
        asked = [
            self._ask(protocol_named(source.protocol), source, found)
            for found in self._sources.all()
            for source in found.sources
            if source.enabled and not source.fault
        ]
        for failure in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(failure, OrchardError):
                log.info("blocks_not_asked", error=failure.code, message=failure.message)
            elif isinstance(failure, Exception):
                raise failure

    async def _ask(self, protocol: PackageProxyBase, source: UpstreamSource, found: SourceSet) -> None:
        url = address_of(protocol, source.url)
        known = await self._rows.known(source) if url else None
        if not url or (known is None and not await self._is_orchard(source)):
            return
        mark = cache_key(Category.UPSTREAM_SOURCES, source.protocol, f"blocks:{source.id}")
        if not await take_mark(self._stores.cache_redis, mark, ASKED_EVERY_SECONDS - 1):
            return
        known = known or _Known()
        answer = await self._http.fetch(
            source,
            url,
            headers={"accept": "application/json", **({"if-none-match": known.etag} if known.etag else {})},
            max_bytes=MAX_BYTES,
            deadline_seconds=ANSWER_SECONDS,
        )
        if answer.status == 200 and teller(answer.headers.get("via", "")) is not None:
            known = await self._stores.threads.run(read, source, answer)
        elif answer.status != 304:
            return  # what it told last stands
        counting = await self._rows.counting(protocol, source, found, known.told)
        await self._rows.write(source, known, counting)

    async def _is_orchard(self, source: UpstreamSource) -> bool:
        return await self._stores.cache.read_installation(source.protocol, source.id) is not None


class UpstreamBlockRows:
    """What is kept of them. Every method raises `DatabaseUnavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def known(self, source: UpstreamSource) -> _Known | None:
        """What a source told last; None if it never did, at the address that it has now."""
        row = await self._database.fetchrow(_READ, source.id)
        if row is None or row["url"] != source.url:
            return None
        return _Known(row["etag"], _stored(row["told"]))

    async def write(self, source: UpstreamSource, known: _Known, counting: Iterable[ToldBlock]) -> None:
        """Keep what it told, and what of it counts; unless the source has another address by now."""
        await self._database.execute(
            _WRITE, source.id, source.url, known.etag, _json(known.told), _json(counting)
        )

    async def counting(
        self, protocol: PackageProxyBase, source: UpstreamSource, found: SourceSet, told: Sequence[ToldBlock]
    ) -> list[ToldBlock]:
        """Those of its blocks that are about what this source serves here. Of a project that it has with
        others (`merge`), what is stored from it."""
        names = sorted({each.name for each in told if each.name})
        its: set[str] = set()
        shared: set[str] = set()
        for start in range(0, len(names), NAMES):
            some = names[start : start + NAMES]
            alone, together = await self._its(protocol, source, found, some)
            its |= alone
            shared |= together
        told = [*told, *await self._stored(protocol, source, [each for each in told if each.name in shared])]
        digests = [bytes.fromhex(each.sha256) for each in told if each.sha256]
        served: set[str] = set()
        for start in range(0, len(digests), BATCH):
            rows = await self._database.fetch(_SERVED, digests[start : start + BATCH], source.id)
            served.update(str(row["sha256"]) for row in rows)
        return [each for each in told if each.name in its or each.sha256 in served]

    async def _stored(
        self, protocol: PackageProxyBase, source: UpstreamSource, told: Sequence[ToldBlock]
    ) -> list[ToldBlock]:
        """The same by the digests of what is stored from this source."""
        meant = {(each.name, each.version): each.reason for each in told}
        projects = sorted({spelt for each in told for spelt in protocol.names.spellings(each.name)})
        found: list[ToldBlock] = []
        for row in await self._database.fetch(_STORED, protocol.name, source.id, projects) if meant else ():
            file = FileName(protocol.name, row["project"], row["file_id"], row["filename"])
            version = protocol.grammar.version_asked(protocol.grammar.artifact_resource(file))
            names = protocol.names.spellings(file.project)
            reasons = (meant.get((name, of)) for name in names for of in ("", version))
            reason = next(filter(None, reasons), "")
            if reason:
                found.append(ToldBlock(reason, sha256=row["sha256"]))
        return found

    async def _its(
        self, protocol: PackageProxyBase, source: UpstreamSource, found: SourceSet, names: Sequence[str]
    ) -> tuple[set[str], set[str]]:
        """Those names that are this source's alone, with all that clients take for the same; and those that
        it has with others."""
        spellings = {name: protocol.names.spellings(name) for name in names}
        pin_names = {each: protocol.names.pin_names(each) for under in spellings.values() for each in under}
        pins: dict[str, frozenset[int]] = {}
        wanted = sorted({pin for under in pin_names.values() for pin in under})
        for row in await self._database.fetch(_PINS, protocol.name, wanted):
            pins[row["project"]] = pins.get(row["project"], frozenset()) | {row["source_id"]}

        def owners_of(name: str) -> list[set[int]]:
            """Who has each of its spellings: what is blocked under one is blocked under all."""
            pinned = [first for each in spellings[name] if (first := first_pinned(pins, pin_names[each]))]
            return [
                {each.id for each in next(iter(owners(found.sources, name, ids)), ())}
                for ids in pinned or [frozenset[int]()]
            ]

        alone: set[str] = set()
        together: set[str] = set()
        for name in names:
            if not spellings[name]:  # whose they are cannot be told
                alone |= {name} if len(found.sources) == 1 else set()
                continue
            ids = owners_of(name)
            if all(each == {source.id} for each in ids):
                alone.add(name)
            elif all(source.id in each for each in ids):
                together.add(name)
        return alone, together


def read(source: UpstreamSource, answer: FetchedBody) -> _Known:
    """What a source told; what of it makes no sense is left out. Raises `UpstreamInvalid`."""
    body = decode_body(answer.body, answer.content_encoding, max_bytes=MAX_BYTES)
    try:
        told = _decode(body).items
    except msgspec.MsgspecError:
        raise UpstreamInvalid(
            f"upstream {source.name} does not tell its blocks in a way that is known"
        ) from None
    etag = answer.headers.get("etag", "")
    return _Known(etag, tuple(_sensible(source, told)))


def _sensible(source: UpstreamSource, told: Sequence[ToldBlock]) -> list[ToldBlock]:
    protocol = protocol_named(source.protocol)
    found: list[ToldBlock] = []
    for each in told[:MOST]:
        reason = _plain(each.reason)
        if each.sha256:
            if is_sha256(each.sha256):
                found.append(ToldBlock(reason, sha256=each.sha256))
        elif each.protocol == source.protocol and _is_name(each.name) and _is_name(each.version or "1"):
            name = protocol.names.canonical_name(each.name)
            found.append(ToldBlock(reason, each.protocol, name, each.version))
    return found


def _is_name(text: str) -> bool:
    return 0 < len(text) <= 512 and _plain(text) == text


def _plain(text: str) -> str:
    """One line for a person, within bounds."""
    kept = "".join(each for each in text[: 4 * MAX_REASON] if each.isprintable())[:MAX_REASON]
    return kept.encode("utf-8", "replace").decode()


def _json(blocks: Iterable[ToldBlock]) -> str:
    return msgspec.json.encode(list(blocks)).decode()
