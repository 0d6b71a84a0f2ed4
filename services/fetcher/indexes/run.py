"""One run of fetching an index: the possible outcomes, and what each writes.

Order of writes: document object → row (with the pin) → cache. On any failure the last good document is still
served: the head is marked as failing, and gateways answer STALE.
"""

from __future__ import annotations

import asyncio
import random

import msgspec

from services.fetcher.indexes.documents import Loaded
from services.fetcher.indexes.reading import READ_INLINE_BYTES, carried_over, read_answer
from services.fetcher.indexes.relaying import IndexRelay
from services.fetcher.indexes.writing import IndexWriting, stale_seconds
from services.fetcher.sources.absences import UNASKED, doubted
from services.fetcher.sources.described import Validators
from services.fetcher.sources.upstreams import IndexAnswer
from shared.errors import Blocked, Offline, OrchardError
from shared.models import FORMAT, IndexHead, StoredDocument, UpstreamSource
from shared.process.byte_budget import Share
from shared.redis import clock
from shared.telemetry.logs import get_logger
from shared.telemetry.metrics import INDEX_ENTRIES_DROPPED

log = get_logger()

MIN_RETRY_SECONDS = 3


def _wait_seconds(asked: int = 0) -> float:
    """Seconds until a page that is failing is asked for again; `asked`: by Retry-After."""
    return max(MIN_RETRY_SECONDS, asked) * random.uniform(1.0, 1.3)


class IndexRun(IndexWriting):
    """The outcomes of fetching an index."""

    # --- before asking ----------------------------------------------------------------------------

    def validators(self) -> Validators | None:
        """Validators from the row, which names the last good document; None if a 304 would be of no use. An
        index that was 404 is asked for unconditionally: storing it ends the absence.
        """
        row = self._good.row
        if row is None or row.gone_at:
            return None
        return Validators(row.source_id, row.upstream_etag, row.upstream_last_modified)

    # --- ends -------------------------------------------------------------------------------------

    async def not_modified(self, answer: IndexAnswer) -> IndexHead | None:
        """Renew the head alone where the bodies exist; else render again. None: the document is lost, or was
        read by an earlier version."""
        head, row = self._good.head, self._good.row
        assert row is not None
        await self._tools.absences.trust(row)
        edition = self._protocol.documents.edition
        retry_at = clock.now() + _wait_seconds() if answer.old else 0.0
        same = head is not None and head.status == 200 and head.document_key == row.document_key
        same = same and head is not None and head.edition == edition
        same = same and not await self._note(None, answer.source)
        if head is not None and same and self._verdicts.stands(head, clock.now()):
            renewed = msgspec.structs.replace(
                head,
                generation=self._generation,
                source_revision=self._sources.revision,
                fetched_at=clock.now(),
                fresh_until=self._fresh_until(),
                failing=retry_at > 0,
                retry_at=retry_at,
                stale_seconds=stale_seconds(self._lifetime),
            )
            if await self._write_head(renewed):
                return renewed
        loaded = await self._tools.documents.load_stored(self._protocol, row.document_key)
        if loaded is None or self._protocol.documents.edition_of(loaded.document) != edition:
            return None
        validators = row.upstream_etag, row.upstream_last_modified
        return await self._render(loaded, row.source_id, *validators, retry_at=retry_at)

    async def _note(self, loaded: Loaded | None, source: UpstreamSource) -> bool:
        """See `Judging.note`: of the list by which the project's versions are dated. Where no rule is asked,
        of one alone that takes the place of another: views of then ask for what that told."""
        if self._identity != self._list_of_versions:
            return False
        row, judges = self._good.row, self._verdicts.judges
        if not judges and (loaded is None or row is None or row.document_key == loaded.key):
            return False
        changed = await self._tools.judging.note(self._protocol, self._identity, self._good, loaded, source)
        return judges and changed

    async def not_found(self, reason: str = "") -> IndexHead:
        """All sources answered 404: a short negative entry, with the reason for a person. Rows and documents
        stay; a row records the absence, so that no later failure brings the page back. But a page that was
        there stays as STALE while its 404 is not believed."""
        row = self._good.row
        if row is not None and row.source_id in self._shown:
            source = next(each for each in self._asked if each.id == row.source_id)
            absences = self._tools.absences
            if not row.gone_at and not await absences.believes(self._protocol, row, source):
                return await self.fail(doubted(source))
            try:
                await self._tools.artifacts.mark_gone(self._protocol.name, self._identity, self._generation)
            except OrchardError as error:  # the 404 is true all the same
                log.warning("gone_not_recorded", identity=self._identity, error=error.code)
        if self._asked:
            await self._tools.absences.note(
                self._protocol.name,
                self._identity,
                self._project,
                self._asked,
                reason=reason,
                generation=self._generation,
            )
        return await self._write_negative(self._absent_seconds, reason)

    async def store(self, answer: IndexAnswer, relay: IndexRelay | None = None) -> IndexHead:
        """A new document: store it, pin the project, render the bodies. Raises `Overloaded`."""
        with self._tools.budget.share() as share:
            return await self._store(answer, share, relay)

    async def _store(self, answer: IndexAnswer, share: Share, relay: IndexRelay | None) -> IndexHead:
        settings, source, response = self._tools.settings, answer.source, answer.response
        answered = await read_answer(
            self._protocol,
            self._identity,
            source,
            response,
            self._tools.threads,
            settings.max_index_bytes,
            self._sealed,
            share,
        )
        if relay is not None:
            await relay.read()
        dropped = answered.dropped
        body, loaded = answered.body, answered.loaded
        etag = response.headers.get("etag", "")
        modified = response.headers.get("last-modified", "")
        if answered.wants_previous and (carried := await self._with_previous(loaded)) is not None:
            body, loaded = carried
            modified = ""  # what was shown before is in it: it is not what that date stands for
        del answered  # with a packument of 40 MB every copy counts
        if dropped:
            INDEX_ENTRIES_DROPPED.labels(self._protocol.name).inc(len(dropped))
            log.warning(
                "index_entries_dropped", identity=self._identity, count=len(dropped), first=dropped[0]
            )
        row = self._good.row
        known = (row.source_id, row.upstream_etag, row.upstream_last_modified) if row is not None else None
        if (
            row is not None
            and known == (source.id, etag, modified)
            and row.document_key == loaded.key
            and not row.gone_at
        ):
            # An upstream without validators sent the same document once more: treated as a 304.
            head = await self.not_modified(answer)
            if head is not None:
                return head
        since = clock.now() if answer.old else 0.0
        return await self.keep(body, loaded, source, etag=etag, modified=modified, failing_since=since)

    async def _with_previous(self, loaded: Loaded) -> tuple[bytes, Loaded] | None:
        row = self._good.row
        tools = self._tools
        found = await tools.documents.load(self._protocol, row.document_key) if row is not None else None
        previous = found.document if found is not None else None
        arguments = (self._protocol, loaded.document, previous, self._sealed, clock.now())
        if loaded.size_bytes <= READ_INLINE_BYTES:
            return carried_over(*arguments)
        return await tools.threads.run(carried_over, *arguments)

    async def keep(
        self,
        body: bytes,
        loaded: Loaded,
        source: UpstreamSource,
        *,
        etag: str = "",
        modified: str = "",
        failing_since: float = 0.0,
        retry_after_seconds: int = 0,
    ) -> IndexHead:
        """As `store`, for a document that was read. `failing_since` not 0: a part of it is old or missing."""
        documents, pages = self._tools.documents, self._tools.pages
        documents.remember(loaded)
        await self._note(loaded, source)
        try:
            page, _ = await asyncio.gather(
                self._finish_page(loaded, body, modified), documents.store(loaded, body)
            )
        except Blocked as refused:
            return await self._show_before(refused)
        stored = StoredDocument(
            protocol=self._protocol.name,
            identity=self._identity,
            source_id=source.id,
            generation=self._generation,
            document_key=loaded.key,
            fetched_at=clock.now(),
            upstream_etag=etag,
            upstream_last_modified=modified,
        )
        pin = self._protocol.documents.lists_files(self._identity, loaded.document)
        owner = next((owner for owner in self._owners if source.id in owner), frozenset[int]())
        is_newest, _ = await asyncio.gather(
            self._tools.artifacts.store_document(stored, project=self._project, pin=pin, owner=owner),
            pages.store(page),
        )
        if not is_newest:
            return await self._superseded()
        await self._report_mutations(source, loaded)
        log.info("index_stored", identity=self._identity, source=source.name, size_bytes=len(body))
        retry_at = 0.0
        if failing_since:
            retry_at = failing_since + max(MIN_RETRY_SECONDS, retry_after_seconds)
        return await self._write_page(
            page, loaded, source.id, etag, modified, fetched_at=failing_since, retry_at=retry_at
        )

    async def _show_before(self, refused: Blocked) -> IndexHead:
        """Of what has a newest that may not be served, the last that may be: the document before. Raises
        `refused` where there is none."""
        row = self._good.row
        if row is None or row.gone_at or row.source_id not in self._shown:
            raise refused
        loaded = await self._tools.documents.load(self._protocol, row.document_key)
        if loaded is None:
            raise refused
        log.info("index_before_shown", identity=self._identity, because=refused.message)
        return await self._render(loaded, row.source_id, row.upstream_etag, row.upstream_last_modified)

    async def fail(self, error: OrchardError) -> IndexHead:
        """Keep serving the last good document as STALE. Raises `error` if there is none to serve.

        If the source's last true answer was 404, that stays: a short negative entry.
        """
        source_id = self._good.source_id
        if isinstance(error, UNASKED) and (absent := await self._kept_absence()) is not None:
            return absent
        # Of a source that is disabled, or that the name is not bound or pinned to any more, nothing is
        # shown, however good: that would be the confusion which the binding is to end.
        if source_id not in self._shown:
            raise error
        now = clock.now()
        wait = _wait_seconds(error.retry_after_seconds)
        head, row = self._good.head, self._good.row
        if head is not None and head.status == Blocked.status:
            raise Blocked(head.reason)  # as its source said last: no failure brings the page back
        if row is not None and row.gone_at:
            if len(self._shown) > 1:
                raise error  # it may be another source that fails, and that one may have it
            return await self._write_negative(wait, failing=True)
        current = head is not None and head.source_revision == self._sources.revision
        if head is not None and head.status == 200 and current and self._verdicts.stands(head, clock.now()):
            failing = msgspec.structs.replace(
                head, generation=self._generation, failing=True, retry_at=now + wait
            )
            if await self._write_head(failing):
                log.warning("index_stale", identity=self._identity, because=error.code, error=error.message)
                return failing
        loaded = await self._tools.documents.load(self._protocol, row.document_key) if row else None
        if row is None or loaded is None:
            raise error
        log.info("index_restored", identity=self._identity, because=error.code)
        return await self._render(
            loaded,
            row.source_id,
            row.upstream_etag,
            row.upstream_last_modified,
            fetched_at=row.fetched_at,
            retry_at=now + wait,
        )

    async def refuse(self, error: Blocked) -> None:
        """Its source, an Orchard, has it blocked: what was shown of it is not shown any more. Nothing is kept
        of it as fresh, so that the next request asks again."""
        now = clock.now()
        head = IndexHead(
            format=FORMAT,
            status=error.status,
            generation=self._generation,
            source_revision=self._sources.revision,
            source_id=0,
            fetched_at=now,
            fresh_until=now,
            reason=error.message,
        )
        await self._write_head(head)

    async def show_old(self) -> bool:
        """Write the last good document as an expired page, for as long as the sources take to answer. False:
        there is none that may be shown, or gateways have a page of their own to show.

        For a run of a lower generation than the one that asks: whatever the answer brings then stands, even
        if this is written after it."""
        head, row = self._good.head, self._good.row
        if head is not None and head.source_revision == self._sources.revision:
            return False
        if row is None or row.gone_at or row.source_id not in self._shown:
            return False
        limit = self._tools.cache.stale_limit if self._lifetime.stale is None else self._lifetime.stale
        if limit and clock.now() - row.fetched_at > limit:
            return False
        loaded = await self._tools.documents.load(self._protocol, row.document_key)
        if loaded is None:
            return False
        shown = await self._render(
            loaded,
            row.source_id,
            row.upstream_etag,
            row.upstream_last_modified,
            fetched_at=row.fetched_at,
        )
        log.info("index_shown_while_asking", identity=self._identity)
        return shown.status == 200

    async def restore_offline(self) -> IndexHead:
        """Offline: the last good document, or a 404 after it, counts as fresh."""
        error = Offline(f"ORCHARD_OFFLINE is set and {self._noun} was never cached")
        row = self._good.row
        absent = await self._kept_absence()
        if absent is not None:
            return absent
        if row is None or row.source_id not in self._shown:
            raise error
        if row.gone_at:
            return await self._write_negative(self._absent_seconds, failing=True)
        loaded = await self._tools.documents.load(self._protocol, row.document_key)
        if loaded is None:
            raise error
        return await self._render(loaded, row.source_id, row.upstream_etag, row.upstream_last_modified)
