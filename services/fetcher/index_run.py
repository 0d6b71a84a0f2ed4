"""One run of fetching an index: how it ends, and what is written then.

Order of writes: document object → row (with the pin) → cache. Whatever goes wrong, the last good
document goes on being served: the head is marked as failing, and gateways say STALE.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec

from services.fetcher.absences import UNASKED, doubted
from services.fetcher.documents import document_key
from services.fetcher.index_writing import IndexWriting
from services.fetcher.reading import carried_over, read_answer
from services.fetcher.upstreams import IndexAnswer, Validators
from shared import clock
from shared.byte_budget import Share
from shared.errors import Offline, OrchardError
from shared.logs import get_logger
from shared.metrics import INDEX_ENTRIES_DROPPED
from shared.models import IndexHead, StoredDocument, UpstreamSource

log = get_logger()

MIN_RETRY_SECONDS = 3


class IndexRun(IndexWriting):
    """The ways that fetching an index can end."""

    # --- before asking ----------------------------------------------------------------------------

    def validators(self) -> Validators | None:
        """From the row, which names the last good document; None if nothing could be made of a 304.

        One that was gone is asked for whole: storing it is what ends that.
        """
        row = self._good.row
        if row is None or row.gone_at:
            return None
        return Validators(row.source_id, row.upstream_etag, row.upstream_last_modified)

    # --- ends -------------------------------------------------------------------------------------

    async def not_modified(self, answer: IndexAnswer) -> IndexHead | None:
        """Renew the head alone where the bodies are there; else render again. None: document lost."""
        head, row = self._good.head, self._good.row
        assert row is not None
        await self._tools.absences.trust(row)
        same = head is not None and head.status == 200 and head.document_key == row.document_key
        if head is not None and same and head.blocks == self._blocks.stamp:
            renewed = msgspec.structs.replace(
                head,
                generation=self._generation,
                source_revision=self._sources.revision,
                fetched_at=clock.now(),
                fresh_until=self._fresh_until(),
                failing=False,
                retry_at=0.0,
            )
            if await self._write_head(renewed):
                return renewed
        loaded = await self._tools.documents.load_stored(self._protocol, row.document_key)
        if loaded is None:
            return None
        return await self._render(loaded, row.source_id, row.upstream_etag, row.upstream_last_modified)

    async def not_found(self, reason: str = "") -> IndexHead:
        """Every source truly lacks it: a short negative entry, with the reason for a person. Rows and
        documents are kept; a row tells of it, so that it stays absent and no later failure brings the page
        back. But a page that was there stays as STALE while its 404 is not believed."""
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
        return await self._write_negative(self._tools.settings.cache_ttl_negative, reason)

    async def store(self, answer: IndexAnswer) -> IndexHead:
        """A new document: keep it, pin the project, finish the bodies. Raises `Overloaded`."""
        with self._tools.budget.share() as share:
            return await self._store(answer, share)

    async def _store(self, answer: IndexAnswer, share: Share) -> IndexHead:
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
        dropped = answered.dropped
        body, document = answered.body, answered.document
        if answered.wants_previous:
            body, document = await self._with_previous(document) or (body, document)
        del answered  # with a packument of 40 MB every copy counts
        if dropped:
            INDEX_ENTRIES_DROPPED.labels(self._protocol.name).inc(len(dropped))
            log.warning(
                "index_entries_dropped", identity=self._identity, count=len(dropped), first=dropped[0]
            )
        etag = response.headers.get("etag", "")
        modified = response.headers.get("last-modified", "")
        row = self._good.row
        known = (row.source_id, row.upstream_etag, row.upstream_last_modified) if row is not None else None
        if (
            row is not None
            and known == (source.id, etag, modified)
            and row.document_key == document_key(body)
            and not row.gone_at
        ):
            # An upstream without validators sent the same once more: as good as a 304.
            head = await self.not_modified(answer)
            if head is not None:
                return head
        return await self.keep(body, document, source, etag=etag, modified=modified)

    async def _with_previous(self, document: Any) -> tuple[bytes, Any] | None:
        row = self._good.row
        tools = self._tools
        previous = await tools.documents.load(self._protocol, row.document_key) if row is not None else None
        return await tools.threads.run(
            carried_over,
            self._protocol,
            document,
            previous.document if previous is not None else None,
            self._sealed,
            clock.now(),
        )

    async def keep(
        self,
        body: bytes,
        document: Any,
        source: UpstreamSource,
        *,
        etag: str = "",
        modified: str = "",
        failing_since: float = 0.0,
        retry_after_seconds: int = 0,
    ) -> IndexHead:
        """As `store` for what was read. `failing_since` not 0: a part of it is old or missing."""
        loaded = self._tools.documents.remember(document_key(body), document, len(body))
        page, key = await asyncio.gather(
            self._make_page(loaded, body),
            self._tools.documents.store(body),
        )
        stored = StoredDocument(
            protocol=self._protocol.name,
            identity=self._identity,
            source_id=source.id,
            generation=self._generation,
            document_key=key,
            fetched_at=clock.now(),
            upstream_etag=etag,
            upstream_last_modified=modified,
        )
        pin = self._protocol.lists_files(self._identity, document)
        owner = next((owner for owner in self._owners if source.id in owner), frozenset[int]())
        if not await self._tools.artifacts.store_document(
            stored, project=self._project, pin=pin, owner=owner
        ):
            return await self._superseded()
        await self._report_mutations(source, loaded)
        log.info("index_stored", identity=self._identity, source=source.name, size_bytes=len(body))
        retry_at = 0.0
        if failing_since:
            retry_at = failing_since + max(MIN_RETRY_SECONDS, retry_after_seconds)
        return await self._write_page(
            page, key, source.id, etag, modified, fetched_at=failing_since, retry_at=retry_at
        )

    async def fail(self, error: OrchardError) -> IndexHead:
        """Keep serving the last good document as STALE. Raises `error` if there is none to serve.

        If the source's last true word was 404, that stays: a short negative entry.
        """
        source_id = self._good.source_id
        if isinstance(error, UNASKED) and (absent := await self._kept_absence()) is not None:
            return absent
        # Of a source that is disabled, or that the name is not bound or pinned to any more, nothing is
        # shown, however good: that would be the confusion which the binding is to end.
        if source_id not in self._shown:
            raise error
        now = clock.now()
        wait = max(MIN_RETRY_SECONDS, error.retry_after_seconds) * random.uniform(1.0, 1.3)
        head, row = self._good.head, self._good.row
        if row is not None and row.gone_at:
            if len(self._shown) > 1:
                raise error  # it may be another source that fails, and that one may have it
            return await self._write_negative(wait, failing=True)
        current = head is not None and head.source_revision == self._sources.revision
        if head is not None and head.status == 200 and current and head.blocks == self._blocks.stamp:
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

    async def restore_offline(self) -> IndexHead:
        """Offline: the last good document, or a 404 after it, is as fresh as anything can be."""
        error = Offline(f"ORCHARD_OFFLINE is set and {self._identity} was never cached")
        row = self._good.row
        absent = await self._kept_absence()
        if absent is not None:
            return absent
        if row is None or row.source_id not in self._shown:
            raise error
        if row.gone_at:
            return await self._write_negative(self._tools.settings.cache_ttl_negative, failing=True)
        loaded = await self._tools.documents.load(self._protocol, row.document_key)
        if loaded is None:
            raise error
        return await self._render(loaded, row.source_id, row.upstream_etag, row.upstream_last_modified)
