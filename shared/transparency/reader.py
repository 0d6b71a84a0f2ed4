"""`LogReader`: tiles, bundles and proofs out of rows and objects. Partial tiles are made when asked for.

All methods raise what the stores raise (`DatabaseUnavailable`, `StoreUnavailable`, `ObjectMissing`).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Sequence

from shared.errors.passing import StoreUnavailable
from shared.objects.port import ObjectStore, tile_key
from shared.process.bounded import Bounded
from shared.tlog.entries import write_bundle
from shared.tlog.making import Range, Tile, consistency_ranges, inclusion_ranges, root_of, tiles_of, width
from shared.tlog.proofs import TILE, Proof, read_bundle
from shared.tlog.trees import HASH, Unproven, leaf_hash
from shared.transparency.rows import BUNDLES, LogRows, LogState

REMEMBERED = 256  # tiles, by their width: 2 MB. A tile of one width never changes


class LogReader:
    """Over stores that others open and close."""

    def __init__(self, rows: LogRows, objects: ObjectStore) -> None:
        self.rows = rows
        self._objects = objects
        self._known = Bounded[tuple[Tile, int], bytes](REMEMBERED)

    async def state(self) -> LogState:
        """As it stands."""
        return await self.rows.state()

    async def hashes(self, tile: Tile, wide: int) -> bytes | None:
        """The first `wide` (1 to 256) hashes of a tile; None where it has fewer."""
        known = self._known.use((tile, wide))
        if known is None and wide < TILE:
            known = await self._partial(tile, wide)
        if known is None:
            sha256 = await self.rows.tile(tile.level, tile.index)
            if not sha256:
                return None
            what = f"tile {tile.level}/{tile.index}"
            known = (await self._read(sha256, what))[: wide * HASH]
        self._known.put((tile, wide), known)
        return known

    async def _partial(self, tile: Tile, wide: int) -> bytes | None:
        first = tile.index * TILE
        if tile.level:
            found = await self.rows.roots(tile.level - 1, first, first + wide)
        else:
            found = [leaf_hash(each) for each in await self.rows.tail(first, first + wide)]
        return b"".join(found) if len(found) == wide else None

    async def _read(self, sha256: str, what: str) -> bytes:
        data = await self._objects.read(tile_key(sha256))
        if hashlib.sha256(data).hexdigest() != sha256:
            raise StoreUnavailable(f"{what} of the log is damaged")
        return data

    async def bundle(self, index: int, wide: int) -> bytes | None:
        """The first `wide` entries of a bundle, as tlog-tiles has them; None where it has fewer."""
        first = index * TILE
        for _ in range(2):  # it may be put into an object in between
            if sha256 := await self.rows.tile(BUNDLES, index):
                data = await self._read(sha256, f"bundle {index}")
                return data if wide == TILE else write_bundle(_entries(data, index)[:wide])
            if entries := await self.rows.tail(first, first + wide):
                return write_bundle(entries)
        return None

    async def proof(self, sha256: str, then: LogState | None = None) -> Proof | None:
        """That a file with this digest was admitted, in the state `then`, or of the newest checkpoint; None
        where it says nothing of it (yet)."""
        most = None if then is None else then.checkpoint_size
        state, leaf, bundle = await self.rows.sought(sha256, most)
        state = then or state
        if leaf is None:
            return None
        index, place = divmod(leaf, TILE)
        size = state.checkpoint_size
        wide = min(TILE, size - index * TILE)
        own, ranges = Tile(0, index), inclusion_ranges(leaf, size)
        data, tiles = await asyncio.gather(
            self._read(bundle, f"bundle {index}") if bundle else self.bundle(index, wide),
            self._tiles(tiles_of(ranges) - {own}, size),
        )
        if data is None:
            raise StoreUnavailable(f"bundle {index} of the log is not there")
        entries = _entries(data, index)
        tiles[own] = b"".join(map(leaf_hash, entries[:wide]))  # of what is at hand: one look-up less
        hashes = [root_of(low, high, tiles) for low, high in ranges]
        return Proof(entries[place], leaf, hashes, checkpoint_of(state))

    async def consistency(self, old: int, size: int) -> list[bytes]:
        """That the log of `size` entries, which a checkpoint has, goes on from that of `old` (at most
        `size`)."""
        return await self.roots(consistency_ranges(old, size), size)

    async def roots(self, ranges: Sequence[Range], size: int) -> list[bytes]:
        """Over each of these ranges, in a log of `size` entries."""
        tiles = await self._tiles(tiles_of(ranges), size)
        return [root_of(low, high, tiles) for low, high in ranges]

    async def _tiles(self, wanted: Collection[Tile], size: int) -> dict[Tile, bytes]:
        found = await asyncio.gather(*(self.hashes(each, width(each, size)) for each in wanted))
        tiles: dict[Tile, bytes] = {}
        for tile, data in zip(wanted, found, strict=True):
            if data is None:
                raise StoreUnavailable(f"tile {tile.level}/{tile.index} of the log is not there")
            tiles[tile] = data
        return tiles


def checkpoint_of(state: LogState) -> bytes:
    """The newest, with what witnesses have said of it."""
    return state.cosigned if state.cosigned_size == state.checkpoint_size else state.checkpoint


def _entries(data: bytes, index: int) -> list[bytes]:
    try:
        return read_bundle(data)
    except Unproven as error:
        raise StoreUnavailable(f"bundle {index} of the log is damaged") from error
