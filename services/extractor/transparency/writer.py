"""`LogWriter`: numbers what waits, stores full tiles, signs checkpoints. It holds nothing that matters.

Order: entries → the objects of a bundle that they fill → its row → the checkpoint. What is cut off in between
is found by the next `run`, of this or another process: all after the first statement is a function of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence

from services.extractor.transparency.documents import document_of
from shared.objects.port import ObjectStore, tile_key
from shared.tlog.entries import KINDS, write_bundle
from shared.tlog.making import HEIGHT, Edge, Tile, hashes_of
from shared.tlog.proofs import TILE
from shared.tlog.signing import Signer
from shared.tlog.trees import leaf_hash, tree_root
from shared.transparency.rows import BUNDLES, FullTile, LogRows

CHECKPOINT_SECONDS = 0.5  # under load; twice as often as promised


class Raced(Exception):
    """Another has written meanwhile: what was read is no longer true. Nothing was written."""


class FellBack(Exception):
    """The log is shorter than a checkpoint that was signed: the database was restored, or lost commits."""


class LogWriter:
    """Not for two tasks at once. `remembered`, `remember`: the size of the largest checkpoint that was signed
    under this log's name, kept elsewhere than in the database."""

    def __init__(
        self,
        rows: LogRows,
        objects: ObjectStore,
        signer: Signer,
        *,
        remembered: Callable[[], Awaitable[int]],
        remember: Callable[[int], Awaitable[None]],
    ) -> None:
        self._rows = rows
        self._objects = objects
        self._signer = signer
        self._remembered = remembered
        self._remember = remember
        self._edge: Edge | None = None  # None: to be read
        self._size = 0
        self._bundle: list[bytes] = []  # of the entries since the last full one
        self._published = -1
        self._published_at = 0.0

    async def run(self, may_go_on: Callable[[], Awaitable[bool]]) -> int:
        """Log all that waits, as long as `may_go_on`; how many entries. Raises what the stores raise, `Raced`
        and `FellBack`: whatever was done until then stands."""
        written = 0
        try:
            if self._edge is None or await self._remembered() > self._size:  # another wrote since
                await self._load()
            while await may_go_on():
                count = await self._append()
                written += count
                if not count:
                    break
                if time.monotonic() - self._published_at >= CHECKPOINT_SECONDS:
                    await self._publish()
            await self._publish()
        except BaseException:
            self._edge = None
            raise
        return written

    async def _append(self) -> int:
        """At most to the end of a bundle, so that never more than one is full and not stored."""
        waiting = await self._rows.waiting(KINDS, TILE - self._size % TILE)
        if not waiting:
            return 0
        documents = [document_of(each) for each in waiting]
        entries = [data for data, _ in documents]
        ids, files = [each.id for each in waiting], [file for _, file in documents]
        if not await self._rows.append(self._size, ids, entries, files):
            raise Raced
        await self._grow(entries)
        return len(entries)

    async def _grow(self, entries: Sequence[bytes]) -> None:
        """Of entries that are numbered: follow them up."""
        assert self._edge is not None
        for entry in entries:
            full = self._edge.append(leaf_hash(entry), self._size)
            self._size += 1
            self._bundle.append(entry)
            if len(self._bundle) == TILE:
                await self._store(self._size - TILE, write_bundle(self._bundle), full)
                self._bundle.clear()

    async def _store(self, first: int, bundle: bytes, full: list[tuple[Tile, bytes]]) -> None:
        roots = {tile: tree_root(hashes_of(data)) for tile, data in full}
        lowest = Tile(0, first // TILE)
        found = [FullTile(BUNDLES, lowest.index, hashlib.sha256(bundle).digest(), roots[lowest])]
        found += [
            FullTile(tile.level, tile.index, hashlib.sha256(data).digest(), roots[tile])
            for tile, data in full
        ]
        contents = [bundle, *(data for _, data in full)]
        await asyncio.gather(
            *(
                self._objects.put_bytes(tile_key(each.sha256.hex()), data)
                for each, data in zip(found, contents, strict=True)
            )
        )
        await self._rows.bundled(first, found)

    async def _load(self) -> None:
        """Read how far the log is, and finish what was cut off. Raises `Raced` and `FellBack`."""
        state = await self._rows.state()
        if state.size < max(state.checkpoint_size, await self._remembered()):
            raise FellBack
        first = await self._rows.first_of_tail(state.size)
        levels: list[list[bytes]] = [[]]
        while (end := first >> HEIGHT * len(levels)) > 0:
            level = len(levels)
            levels.append(await self._rows.roots(level - 1, end - end % TILE, end))
            if len(levels[level]) != end % TILE:
                raise Raced
        entries = await self._rows.tail(first, state.size)
        if first % TILE or len(entries) != state.size - first:
            raise Raced
        self._edge, self._size, self._bundle = Edge(levels), first, []
        await self._grow(entries)
        known = str(self._signer.key) == state.key
        self._published = state.checkpoint_size if known else -1

    async def _publish(self) -> None:
        self._published_at = time.monotonic()
        if self._size == self._published:
            return
        assert self._edge is not None
        root = self._edge.root()
        checkpoint = await asyncio.to_thread(self._signer.checkpoint, self._size, root)
        await self._remember(self._size)
        await self._rows.publish(checkpoint, self._size, str(self._signer.key))
        self._published = self._size
