"""A wheel's core metadata before the wheel: read out of the upstream's file by a few small ranges.

`.dist-info` stands last in most wheels, before the directory: the end of the file is enough for nine of
ten (docs/decisions/0033 has the figures). What is read was checked as a stored wheel's is; that the wheel
holds it, only the wheel will prove.
"""

from __future__ import annotations

import asyncio
from typing import BinaryIO, cast

from services.fetcher.files.entries import Found
from services.fetcher.files.ranges import Contradiction, NoRanges, RangeReader
from services.fetcher.files.sparse import Hole, OtherBytes, SparseFile
from shared.artifacts.repository import ArtifactRepository
from shared.errors import UpstreamInvalid
from shared.process.byte_budget import ByteBudget, Share
from shared.process.threads import BoundedThreads
from shared.protocols.base import PackageProxyBase
from shared.telemetry.logs import get_logger

log = get_logger()

SMALL_FILE_BYTES = 256 * 1024
SMALL_END_BYTES = 16 * 1024  # of a file that is small: few members, so a short directory
END_BYTES = 48 * 1024
BEFORE_BYTES = 24 * 1024  # asked for with the rest of a directory: the metadata stands before it
AFTER_BYTES = 1024  # asked for with a member: its header may be longer than the directory knows
MOST_REQUESTS = 4
MOST_BYTES = 8 * 1024 * 1024  # a directory of some 80,000 members
UNCOUNTED_BYTES = 128 * 1024
BUDGET_BYTES = 64 * 1024 * 1024
READ_SECONDS = 20.0


class EarlyMetadata:
    """Reads metadata out of files that nobody downloads."""

    def __init__(
        self, ranges: RangeReader, *, threads: BoundedThreads, artifacts: ArtifactRepository
    ) -> None:
        self._ranges = ranges
        self._threads = threads
        self._artifacts = artifacts
        self._budget = ByteBudget(BUDGET_BYTES, "directories of wheels", wait_seconds=READ_SECONDS)

    async def read(self, protocol: PackageProxyBase, project: str, found: Found) -> bytes | None:
        """The raw metadata of the file that was `found`; None where the whole file must tell: the host gives
        no ranges, they contradict each other, or the file holds no metadata of its own.

        Raises `GoneUpstream` and the upstream's passing errors.
        """
        filename = found.entry.filename
        try:
            with self._budget.share() as share:
                return await self._read(protocol, found, share)
        except (Contradiction, OtherBytes) as error:
            detail = {"source": found.source.name, "why": str(error)}
            log.warning("ranges_contradict", project=project, filename=filename, **detail)
            await self._artifacts.record_event("ranges_contradict", protocol.name, project, filename, detail)
        except NoRanges:
            log.info("metadata_without_ranges", filename=filename, source=found.source.name)
        except UpstreamInvalid as error:
            log.info("metadata_not_by_ranges", filename=filename, reason=error.message)
        return None

    async def _read(self, protocol: PackageProxyBase, found: Found, share: Share) -> bytes:
        entry, size = found.entry, found.entry.size_bytes
        count = SMALL_END_BYTES if size is not None and size <= SMALL_FILE_BYTES else END_BYTES
        piece = await self._ranges.end(found, count)
        if size is not None and piece.total != size:
            raise Contradiction(f"the file has {piece.total} bytes, the index says {size}")
        file = SparseFile(piece.total)
        file.add(piece.start, piece.data)
        for _ in range(MOST_REQUESTS):
            try:
                async with asyncio.timeout(READ_SECONDS):
                    return await self._threads.run(
                        protocol.archive.read_metadata, entry.filename, cast(BinaryIO, file), file.size
                    )
            except TimeoutError:
                raise UpstreamInvalid(f"{entry.filename}: its metadata takes too long to read") from None
            except Hole as hole:
                start, end = _rounded(hole, piece.start, file.size)
                if file.held_bytes + end - start > MOST_BYTES:
                    raise UpstreamInvalid(f"{entry.filename}: its directory is too long") from None
            if file.held_bytes + end - start > UNCOUNTED_BYTES:
                await share.reach(2 * (file.held_bytes + end - start))
            more = await self._ranges.part(
                found, start, end, total=piece.total, validator=piece.validator, again=True
            )
            file.add(more.start, more.data)
        raise UpstreamInvalid(f"{entry.filename}: its metadata lies in too many places")


def _rounded(hole: Hole, tail_start: int, size: int) -> tuple[int, int]:
    """What to ask for, so that the next read is the last."""
    if hole.end == tail_start:
        return max(0, hole.start - BEFORE_BYTES), hole.end
    return hole.start, min(hole.end + AFTER_BYTES, size)
