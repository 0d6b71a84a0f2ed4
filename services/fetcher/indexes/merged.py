"""An index that is the union of the documents of an owner's sources: each is asked, none can hide another.

Every source's last good document is stored under a row of its own ("{identity}#{source id}"), so that a
source that fails still counts with its last document; the page is then marked as failing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from services.fetcher.indexes.documents import Loaded
from services.fetcher.indexes.reading import read_answer
from services.fetcher.indexes.run import IndexRun
from services.fetcher.indexes.writing import IndexTools
from services.fetcher.sources.absences import doubted
from services.fetcher.sources.described import Validators
from services.fetcher.sources.upstreams import IndexAnswer, Upstreams
from shared.errors import Blocked, LastingError, OrchardError
from shared.errors.passing import ObjectMissing, PassingError
from shared.models import IndexHead, StoredDocument, UpstreamSource
from shared.protocols.base import PackageProxyBase
from shared.redis import clock
from shared.telemetry.logs import get_logger

log = get_logger()


class Part(msgspec.Struct, frozen=True):
    """One source's part: its document, or None if it answered 404 or never answered; and its failure. What it
    has blocked is no part, and was asked for."""

    source: UpstreamSource
    body: bytes | None = None
    error: OrchardError | None = None
    refused: Blocked | None = None


class MergedIndex:
    """Fetches the parts and renders their union."""

    def __init__(
        self,
        upstreams: Upstreams,
        tools: IndexTools,
        protocol: PackageProxyBase,
        identity: str,
        project: str,
        generation: int,
    ) -> None:
        self._upstreams = upstreams
        self._tools = tools
        self._protocol = protocol
        self._identity = identity
        self._project = project
        self._generation = generation

    async def fetch(self, run: IndexRun, sources: Sequence[UpstreamSource]) -> IndexHead | None:
        """The head that was written. None if every source truly lacks it.

        Raises the first failure if no source ever answered, and `Blocked` if none is left that may be shown.
        """
        parts = await asyncio.gather(*(self._part(source) for source in sources))
        failures = [part.error for part in parts if part.error is not None]
        answered = [part for part in parts if part.body is not None]
        if failures:
            log.info(
                "index_merged_in_part",
                identity=self._identity,
                answered=len(answered),
                because=failures[0].code,
            )
        refused = [part.refused for part in parts if part.refused is not None]
        if not answered and refused:
            raise refused[0]
        if not answered:
            return await run.fail(failures[0]) if failures else None
        bodies = [part.body for part in answered if part.body is not None]
        aged = (part.source for part in answered if part.source.options.aged)
        body = await self._tools.threads.run(self._protocol.documents.merge_documents, self._identity, bodies)
        return await run.keep(
            body,
            Loaded.of(body, self._protocol.documents.decode_document(body)),
            next(aged, answered[0].source),  # where the age of one counts, it counts for the union
            failing_since=clock.now() if failures else 0.0,
            retry_after_seconds=max((error.retry_after_seconds for error in failures), default=0),
        )

    async def _part(self, source: UpstreamSource) -> Part:
        row = await self._tools.artifacts.stored_document(self._protocol.name, self._row_name(source))
        try:
            validators = None
            if row is not None and not row.gone_at:  # one that was 404 is asked for unconditionally
                validators = Validators(source.id, row.upstream_etag, row.upstream_last_modified)
            answer = await self._upstreams.ask_index(self._protocol, self._identity, [source], validators)
            if answer is not None and answer.not_modified:
                body = await self._last_good(row)
                if body is not None:
                    if row is not None:
                        await self._tools.absences.trust(row)
                    return Part(source, body, answer.old)
                answer = await self._upstreams.ask_index(self._protocol, self._identity, [source])
            if answer is not None:
                return Part(source, await self._store(answer), answer.old)
            if row is not None and not row.gone_at:
                if not await self._tools.absences.believes(self._protocol, row, source):
                    return Part(source, await self._last_good(row), doubted(source))
                await self._tools.artifacts.mark_gone(
                    self._protocol.name, self._row_name(source), self._generation
                )
            return Part(source)
        except Blocked as error:
            return Part(source, refused=error)
        except (PassingError, LastingError) as error:
            return Part(source, await self._last_good(row), error)

    async def _store(self, answer: IndexAnswer) -> bytes:
        tools, response = self._tools, answer.response
        with tools.budget.share() as share:
            read = await read_answer(
                self._protocol,
                self._identity,
                answer.source,
                response,
                tools.threads,
                tools.settings.max_index_bytes,
                {},
                share,
            )
        await tools.documents.store(read.loaded, read.body)
        document = StoredDocument(
            protocol=self._protocol.name,
            identity=self._row_name(answer.source),
            source_id=answer.source.id,
            generation=self._generation,
            document_key=read.loaded.key,
            fetched_at=clock.now(),
            upstream_etag=response.headers.get("etag", ""),
            upstream_last_modified=response.headers.get("last-modified", ""),
        )
        await tools.artifacts.store_document(document, project=self._project, pin=False)
        return read.body

    async def _last_good(self, row: StoredDocument | None) -> bytes | None:
        if row is None or row.gone_at:  # its last true answer was 404
            return None
        try:
            return await self._tools.documents.read(row.document_key)
        except ObjectMissing:
            return None

    def _row_name(self, source: UpstreamSource) -> str:
        return f"{self._identity}#{source.id}"
