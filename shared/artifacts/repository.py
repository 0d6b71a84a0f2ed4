"""`ArtifactRepository`: stored artifacts and their indexes, in PostgreSQL. Each method is one statement,
batches too.

Content is immutable: under a name (`cached_urls`) the first bytes stand for ever, and an extraction
that ended in `extracted` is final. Every method raises `DatabaseUnavailable` (passing) or
`InvalidData` (a value that cannot be stored; `BatchWriter` then finds the row at fault).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec

from shared.artifacts import statements as sql
from shared.artifacts.event_kinds import EventKind
from shared.artifacts.rows import (
    dependency_columns,
    dependency_of,
    digest,
    event_detail,
    extraction_columns,
    first_pinned,
    index_state_of,
    standing_file_of,
    stored_file_of,
    url_columns,
)
from shared.errors import InvalidData
from shared.errors.passing import DatabaseUnavailable
from shared.models import (
    CachedUrl,
    Extraction,
    FileName,
    IndexState,
    Standing,
    StandingFile,
    StoredDocument,
    StoredFile,
)
from shared.policy.age import Seen
from shared.policy.evidence import Evidence, FileSignature
from shared.postgres.database import Database

_decode_evidence = msgspec.json.Decoder(dict[str, Evidence]).decode
_decode_signatures = msgspec.json.Decoder(tuple[FileSignature, ...]).decode
_decode_one = msgspec.json.Decoder(Evidence).decode
_decode_seen = msgspec.msgpack.Decoder(Seen).decode
_encode_seen = msgspec.msgpack.Encoder().encode

_RACES = 5  # tries for a row that is deleted and inserted again each time


class EventRecord(msgspec.Struct, frozen=True):
    """Something an operator should know, such as `upstream_mutated`. Equal events are counted."""

    kind: EventKind
    protocol: str
    project: str
    filename: str
    detail: dict[str, Any]


class ArtifactRepository:
    """Reads and writes of artifacts, their URLs, dependencies, documents, pins and events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- artifacts --------------------------------------------------------------------------------

    async def get_cached_url_with_artifact(self, file: FileName) -> StoredFile | None:
        """All that is needed to serve the file, or None if it was never stored. One joined query."""
        row = await self._database.fetchrow(sql.LOOKUP, *msgspec.structs.astuple(file))
        return None if row is None else stored_file_of(row)

    async def batch_get_cached_urls(self, files: Sequence[FileName]) -> list[StoredFile | None]:
        """As `get_cached_url_with_artifact` for many, in their order. One statement."""
        found: list[StoredFile | None] = [None] * len(files)
        names = map(msgspec.structs.astuple, files)
        columns = [list(column) for column in zip(*names, strict=True)]
        for row in await self._database.fetch(sql.LOOKUP_MANY, list(range(len(files))), *columns):
            found[row["at"]] = stored_file_of(row)
        return found

    async def names_of(self, algorithm: str, digest: str, most: int) -> list[FileName]:
        """The names of stored files whose bytes have this digest (lower-case hex, of an algorithm of
        `NAMES_BY_DIGEST`), the first stored first. One query."""
        rows = await self._database.fetch(sql.NAMES_BY_DIGEST[algorithm], digest, most)
        return [FileName(**dict(row)) for row in rows]

    async def get_or_create_artifact(self, url: CachedUrl) -> StoredFile:
        """What is stored under the URL's name: this, or what was inserted first.

        One atomic upsert of package, artifact and URL. If the answer has another `sha256`, the
        upstream sent other bytes under a known name: the caller raises `upstream_mutated`.
        """
        return (await self.batch_create_artifacts([url]))[0]

    async def batch_create_artifacts(self, urls: Sequence[CachedUrl]) -> list[StoredFile]:
        """As `get_or_create_artifact` for many, in their order. One statement (more only in a race)."""
        pending: dict[FileName, CachedUrl] = {}
        for url in urls:
            pending.setdefault(url.file, url)  # twice in one batch: the first wins, as in the table
        standing: dict[FileName, StoredFile] = {}
        for _ in range(_RACES):
            if not pending:
                return [standing[url.file] for url in urls]
            batch = [pending[file] for file in sorted(pending)]
            for row in await self._database.fetch(sql.STORE, *url_columns(batch)):
                file = batch[row["at"]].file
                standing[file] = stored_file_of(row)
                del pending[file]
        raise DatabaseUnavailable("a row was changed by others each time it was read")

    async def seal_metadata(self, url: CachedUrl) -> StoredFile:
        """Pins a file's core metadata (role `metadata`, `Archive.metadata_filename`) for ever.

        What stands: a back-filled document and a later one of the upstream may differ, the
        first stays advertised (ARCHITECTURE.md "Back-fill"). One statement.
        """
        if url.role != "metadata":
            raise InvalidData("only a row of role metadata seals metadata")
        standing = await self.get_or_create_artifact(url)
        return await self.pin_metadata(url) if standing.provisional else standing

    async def pin_metadata(self, url: CachedUrl) -> StoredFile:
        """As `seal_metadata`, where provisional metadata is known to stand: this takes its place. One
        statement (two where none stands any more). The answer is newer than what it took the place of."""
        row = await self._database.fetchrow(
            sql.PIN_METADATA,
            *msgspec.structs.astuple(url.file),
            digest(url.stored.sha256),
            url.stored.size_bytes,
            url.stored.content_type,
            url.stored.object_key,
            url.generation,
        )
        if row is None:
            return await self.get_or_create_artifact(url)
        return msgspec.structs.replace(url.stored, created_at=row["created_at"])

    async def drop_provisional(self, file: FileName) -> float:
        """Takes away a file's provisional metadata: when its row was made (unix seconds); 0.0 where none
        stands. One statement."""
        row = await self._database.fetchrow(sql.DROP_PROVISIONAL, *msgspec.structs.astuple(file))
        return 0.0 if row is None else float(row["created_at"])

    async def standing_file(self, file: FileName, metadata_name: str, index: str) -> StandingFile | None:
        """What the extractor needs to know of a stored file, None if it is not stored. `metadata_name`: the
        filename of its metadata, "" for none; `index`: the identity of the page that lists it. One query."""
        row = await self._database.fetchrow(
            sql.STANDING_FILE, *msgspec.structs.astuple(file), metadata_name, index
        )
        return None if row is None else standing_file_of(row)

    # --- dependencies -----------------------------------------------------------------------------

    async def batch_upsert_dependencies(self, extractions: Sequence[Extraction]) -> list[bool]:
        """Writes states and dependencies of many artifacts in one statement.

        For each extraction whether it was written: False if the artifact was already `extracted`
        (final) or is not stored at all.
        """
        chosen: dict[str, Extraction] = {}
        for extraction in extractions:
            known = chosen.get(extraction.sha256)
            if known is None or known.state != "extracted":
                chosen[extraction.sha256] = extraction
        ordered = [chosen[sha256] for sha256 in sorted(chosen)]
        rows = await self._database.fetch(
            sql.STORE_EXTRACTIONS, *extraction_columns(ordered), *dependency_columns(ordered)
        )
        written = {row["sha256"].hex() for row in rows}
        return [extraction.sha256 in written for extraction in extractions]

    async def get_extraction(self, sha256: str) -> Extraction | None:
        """The extraction of an artifact (state `pending`: not read yet), or None if it is not stored. One
        query."""
        rows = await self._database.fetch(sql.EXTRACTION, digest(sha256))
        if not rows:
            return None
        first = rows[0]
        return Extraction(
            sha256=sha256,
            state=first["extraction_state"],
            reason=first["extraction_reason"],
            name=first["artifact_name"],
            version=first["version"],
            requires_python=first["requires_python"],
            extras=tuple(first["artifact_extras"]),
            dependencies=tuple(dependency_of(row) for row in rows if row["position"] is not None),
        )

    # --- index documents and pins -------------------------------------------------------------------

    async def stored_document(self, protocol: str, identity: str) -> StoredDocument | None:
        """Where the last good document of an index lies, or None. One query."""
        row = await self._database.fetchrow(sql.STORED_DOCUMENT, protocol, identity)
        return None if row is None else StoredDocument(**dict(row))

    async def index_state(
        self, protocol: str, identity: str, project: str, pin_names: Sequence[str]
    ) -> IndexState:
        """All that is known of an index and of its project ("": of the index alone). `pin_names` as
        `pinned` takes them. One query."""
        row = await self._database.fetchrow(sql.INDEX_STATE, protocol, identity, project, list(pin_names))
        assert row is not None
        return index_state_of(row, pin_names)

    async def store_document(
        self, document: StoredDocument, *, project: str, pin: bool = True, owner: Collection[int] = ()
    ) -> bool:
        """Records a document and, for a project's index (`project` not ""), pins the project to its
        source. One statement. False, and nothing is written, if a newer generation stands or the
        project is pinned to a source other than this one and those of the same owner."""
        row = await self._database.fetchrow(
            sql.STORE_DOCUMENT,
            document.protocol,
            document.identity,
            project,
            document.source_id,
            document.generation,
            document.document_key,
            document.fetched_at,
            document.upstream_etag,
            document.upstream_last_modified,
            pin,
            [document.source_id, *owner],
        )
        return row is not None

    async def mark_gone(self, protocol: str, identity: str, generation: int) -> None:
        """Records that the source of a document truly answers 404 now, until `store_document`. One
        statement; nothing is written if a newer generation stands."""
        await self._database.execute(sql.MARK_GONE, protocol, identity, generation)

    async def pinned(self, protocol: str, names: Sequence[str]) -> frozenset[int]:
        """The ids of the only sources that may be asked for a project, of the first of `names` that is
        pinned (`Names.pin_names`); empty: none is. One query."""
        return first_pinned(await self.pinned_sources(protocol, names), names)

    async def pinned_sources(self, protocol: str, names: Collection[str]) -> dict[str, frozenset[int]]:
        """The same for many: the ids of each name that is pinned. One query."""
        found: dict[str, frozenset[int]] = {}
        for row in await self._database.fetch(sql.PINNED_SOURCES, protocol, list(names)):
            found[row["project"]] = found.get(row["project"], frozenset()) | {int(row["source_id"])}
        return found

    async def pin_first(self, protocol: str, project: str, source_id: int) -> int:
        """Pins a project that is not pinned; the id of the source that it is pinned to, 0 where an
        operator gave it several. One statement."""
        row = await self._database.fetchrow(sql.PIN_FIRST, protocol, project, source_id)
        return 0 if row is None else int(row["source_id"])

    # --- dates ----------------------------------------------------------------------------------------

    async def first_seen(self, protocol: str, project: str) -> Seen | None:
        """What was noted of a project's versions, with what is known of who published them; None: nothing.
        One query."""
        row = await self._database.fetchrow(sql.SEEN_AND_EVIDENCE, protocol, project)
        if row is None:
            return None
        seen = _decode_seen(row["seen"])
        evidence, signatures = row["evidence"], row["signatures"]
        if evidence is None and signatures is None:
            return seen
        return msgspec.structs.replace(
            seen,
            evidence=_decode_evidence(evidence or "{}"),
            signatures=_decode_signatures(signatures or "[]"),
        )

    async def store_evidence(
        self, protocol: str, project: str, evidence: Mapping[str, Evidence]
    ) -> dict[str, Evidence]:
        """Keeps what verifying came to, by digests; what is known of them then: the same, but that "unknown"
        takes nothing away. One statement."""
        rows = [
            (
                digest,
                each.status,
                *msgspec.structs.astuple(each.publisher),
                each.why,
                each.root,
                each.signature,
            )
            for digest, each in evidence.items()
        ]
        kept = await self._database.fetch(
            sql.STORE_EVIDENCE, protocol, project, *map(list, zip(*rows, strict=True))
        )
        return {row["digest"]: _decode_one(row["evidence"]) for row in kept}

    async def store_signature(self, protocol: str, project: str, found: FileSignature) -> None:
        """Keeps what the signature beside a file came to, in the place of what it did. One statement."""
        await self._database.execute(sql.STORE_SIGNATURE, protocol, project, *msgspec.structs.astuple(found))

    async def note_seen(self, protocol: str, project: str, change: Callable[[Seen | None], Seen]) -> Seen:
        """What is noted now: `change` of what was, so that nothing that others note meanwhile is lost. Two
        statements, more in a race."""
        for _ in range(_RACES):
            row = await self._database.fetchrow(sql.FIRST_SEEN, protocol, project)
            before = None if row is None else row["seen"]
            seen = change(None if before is None else _decode_seen(before))
            after = _encode_seen(msgspec.structs.replace(seen, evidence={}, signatures=()))
            if after == before or await self._database.fetchrow(
                sql.NOTE_SEEN, protocol, project, after, before
            ):
                return seen
        raise DatabaseUnavailable("a row was changed by others each time it was read")

    async def note_standing(self, file: FileName, standing: Standing) -> None:
        """Records what the policy has to know of a stored file. One statement."""
        await self._database.execute(
            sql.DATE_FILE, *msgspec.structs.astuple(file), standing.published, standing.judged
        )

    # --- events ---------------------------------------------------------------------------------------

    async def record_event(
        self, kind: EventKind, protocol: str, project: str, filename: str, detail: Mapping[str, Any]
    ) -> None:
        """Notes one event; the same one again raises its count. `detail` must hold no secret."""
        await self.batch_record_events([EventRecord(kind, protocol, project, filename, dict(detail))])

    async def batch_record_events(self, events: Sequence[EventRecord]) -> list[None]:
        """As `record_event` for many, in one statement; one None for each (for `BatchWriter`)."""
        await self._database.execute(
            sql.STORE_EVENTS,
            [event.kind for event in events],
            [event.protocol for event in events],
            [event.project for event in events],
            [event.filename for event in events],
            [event_detail(event.detail) for event in events],
        )
        return [None] * len(events)
