"""A long index on its way to those who wait for it, while it is read (docs/decisions/0061).

What comes is unpacked, written as the body that the job's client waits for, and put into a spool, which
gateways read as they read a file's (`files/live.py`). Its end goes out once the whole was read and found to
be an index; otherwise readers break off. Nothing of it is stored: pages are finished from the document, as
ever.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import zstandard
from isal import isal_zlib

from services.fetcher.files.abandoned import Audience
from services.fetcher.files.live import LiveDownload, LiveDownloads
from services.fetcher.files.spool import Spool
from services.fetcher.http.response import Inflating, UpstreamResponse, codings_of
from shared.errors import OrchardError
from shared.models import FileEntry, UpstreamSource
from shared.process.bounded import Bounded
from shared.process.disk import DiskFloor
from shared.process.threads import BoundedThreads
from shared.protocols import protocol_named
from shared.protocols.roles.pages import Relayed
from shared.queue.context import JobContext
from shared.queue.jobs import IN_USE, FetchIndex
from shared.telemetry.logs import get_logger

log = get_logger()

LEAST_BYTES = 1024 * 1024
"""A body up to this long is answered whole: it comes with its ETag and length, and takes no time worth it."""
KEPT_SECONDS = 10.0  # that the event can be looked up by those who ask a little later

WHOLE_SECONDS = 600.0
"""For so long after its readers broke off an index is answered whole: with the error, if it is none."""
MAX_BROKEN = 64

_numbers = itertools.count(1)


class IndexRelays:
    """What relays of a process share; called for each run of a job. Fulfils `Relays`."""

    def __init__(
        self, live: LiveDownloads, threads: BoundedThreads, floor: DiskFloor, folder: Path, max_bytes: int
    ) -> None:
        """`max_bytes` of an index, unpacked."""
        self.live = live
        self.threads = threads
        self.floor = floor
        self.folder = folder
        self.max_bytes = max_bytes
        self.broken = Bounded[str, float](MAX_BROKEN)  # job id → monotonic time when its readers broke off

    def __call__(self, ctx: JobContext, job: FetchIndex) -> SpooledRelay:
        return SpooledRelay(self, ctx, job)


class SpooledRelay:
    """One answer, relayed to whoever waits for the body that the job names. Fulfils `IndexRelay`."""

    def __init__(self, shared: IndexRelays, ctx: JobContext, job: FetchIndex) -> None:
        self._shared = shared
        self._ctx = ctx
        self._job = job
        self._writing: _Writing | None = None
        self._live: LiveDownload | None = None
        self._was_opened = False
        self._is_told = False

    def opened(self, source: UpstreamSource, response: UpstreamResponse) -> None:
        """See the port. A second answer is not relayed: readers of the first broke off."""
        job, shared = self._job, self._shared
        representation, _, coding = job.variant.partition(".")
        if self._was_opened or job.variant in ("", IN_USE) or job.base_url:
            return
        pages = protocol_named(job.protocol).pages
        relayed = pages.relayed(job.identity, representation, response.headers.get("content-type", ""))
        codings = codings_of(response.headers.get("content-encoding", ""))
        length = response.content_length or LEAST_BYTES + 1
        if relayed is None or codings not in ([], ["gzip"]) or (not codings and length <= LEAST_BYTES):
            return
        broken_at = shared.broken.get(self._ctx.job_id)
        if broken_at is not None and time.monotonic() - broken_at < WHOLE_SECONDS:
            return
        if not shared.floor.has_room(length):
            return
        self._was_opened = True
        spool = Spool(shared.folder / f"{self._ctx.generation}-index-{next(_numbers)}", shared.threads)
        self._live = LiveDownload(
            job_id=self._ctx.job_id,
            generation=self._ctx.generation,
            token=self._ctx.claim.token,
            content_type=relayed.content_type,
            spool=spool,
            source=source,
            entry=FileEntry(job.identity, response.url, ""),
            audience=Audience(spool),
            variant=job.variant,
        )
        self._writing = _Writing(relayed, coding, Inflating(shared.max_bytes) if codings else None)
        response.also = self._take

    async def read(self) -> None:
        """See the port."""
        await self._take(b"", last=True)
        self._writing = None
        if self._live is not None:
            self._live.spool.seal()

    def close(self) -> None:
        """See the port."""
        live, self._live = self._live, None
        if live is not None:
            if self._is_told and live.spool.state == "open":
                self._shared.broken.put(self._ctx.job_id, time.monotonic())
            self._shared.live.end(live)
            live.spool.release()

    async def _take(self, piece: bytes, *, last: bool = False) -> None:
        live, writing = self._live, self._writing
        if live is None or writing is None:
            return
        try:
            live.spool.append(await self._shared.threads.run(writing.write, piece, last=last))
        except OrchardError as error:
            log.info("index_not_relayed", identity=self._job.identity, because=error.message)
            self.close()
            return
        if not self._is_told and writing.text_bytes > LEAST_BYTES:
            self._is_told = True
            self._shared.live.begin(live)
            await self._ctx.publish("live", content_type=live.content_type, keep_seconds=KEPT_SECONDS)


class _Writing:
    """From the upstream's bytes to those of a body in its content-coding."""

    def __init__(self, relayed: Relayed, coding: str, inflating: Inflating | None) -> None:
        self.text_bytes = 0  # of the upstream's, unpacked
        self._relayed = relayed
        self._inflating = inflating
        self._pack, self._flush = _packing(coding)

    def write(self, piece: bytes, *, last: bool) -> bytes:
        """What comes of a piece. Raises `UpstreamInvalid`, `TooLarge`."""
        text = piece if self._inflating is None else self._inflating.feed(piece)
        if last and self._inflating is not None:
            text += self._inflating.end()
        self.text_bytes += len(text)
        out = self._relayed.feed(text)
        if not last:
            return self._pack(out)
        return self._pack(out + self._relayed.end()) + self._flush()


def _packing(coding: str) -> tuple[Callable[[bytes], bytes], Callable[[], bytes]]:
    """Packs pieces, and what is left of them. As `pages.compressed`, whose bytes are others: of the whole."""
    if coding == "gzip":
        gzip = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31)
        return gzip.compress, gzip.flush
    if coding == "zstd":
        zstd = zstandard.ZstdCompressor(1).compressobj()
        return zstd.compress, zstd.flush
    return bytes, bytes
