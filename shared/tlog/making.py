"""What proofs are made of: complete subtrees, and tiles that hold them (RFC 6962 §2.1, C2SP tlog-tiles)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from shared.tlog.proofs import TILE
from shared.tlog.trees import HASH, node_hash, tree_root

HEIGHT = 8  # levels of the tree in one tile

Range = tuple[int, int]
"""The leaves from the first up to but excluding the second."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Place of a tile: its hashes are roots of `TILE ** level` leaves each."""

    level: int
    index: int


def width(tile: Tile, size: int) -> int:
    """How many hashes the tile has in a log of `size` entries; 0: there is none such."""
    return max(0, min(TILE, (size >> HEIGHT * tile.level) - tile.index * TILE))


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """The subtrees whose roots prove that the entry is there, in the proof's order. 0 <= index < size."""
    return [*_inclusion(index, 0, size)]


def _inclusion(index: int, low: int, high: int) -> Iterator[Range]:
    if high - low == 1:
        return
    middle = low + _split(high - low)
    if index < middle:
        yield from _inclusion(index, low, middle)
        yield middle, high
    else:
        yield from _inclusion(index, middle, high)
        yield low, middle


def consistency_ranges(old: int, size: int) -> list[Range]:
    """The subtrees whose roots prove that the log of `size` entries goes on from that of `old`, in the
    proof's order. 0 <= old <= size."""
    return [*_consistency(old, 0, size, True)] if 0 < old < size else []


def _consistency(old: int, low: int, high: int, known: bool) -> Iterator[Range]:
    if old == high:
        if not known:
            yield low, high
        return
    middle = low + _split(high - low)
    if old <= middle:
        yield from _consistency(old, low, middle, known)
        yield middle, high
    else:
        yield from _consistency(old, middle, high, False)
        yield low, middle


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << (count - 1).bit_length() - 1


@dataclass(frozen=True, slots=True)
class _Node:
    """A complete subtree: where its root is to be computed from."""

    tile: Tile
    first: int  # of its hashes in the tile
    count: int


def _nodes(low: int, high: int) -> Iterator[_Node]:
    """The complete subtrees of a range that is one of a tree, the largest first."""
    while low < high:
        level = (high - low).bit_length() - 1
        if low:
            level = min(level, (low & -low).bit_length() - 1)
        above, within = divmod(level, HEIGHT)
        index, first = divmod(low >> HEIGHT * above, TILE)
        yield _Node(Tile(above, index), first, 1 << within)
        low += 1 << level


def tiles_of(ranges: Iterable[Range]) -> set[Tile]:
    """Where the roots of these are found."""
    return {node.tile for low, high in ranges for node in _nodes(low, high)}


def root_of(low: int, high: int, tiles: Mapping[Tile, bytes]) -> bytes:
    """The root over a range. `tiles`: the bytes of those of `tiles_of`, as wide as needed or wider."""
    roots = [
        tree_root(hashes_of(tiles[each.tile][each.first * HASH : (each.first + each.count) * HASH]))
        for each in _nodes(low, high)
    ]
    if not roots:
        return tree_root([])
    found = roots.pop()
    while roots:
        found = node_hash(roots.pop(), found)
    return found


def hashes_of(tile: bytes) -> list[bytes]:
    """The hashes that a tile's bytes are made of."""
    return [tile[at : at + HASH] for at in range(0, len(tile), HASH)]


class Edge:
    """The right edge of a growing log: the hashes of its partial tiles, by level. What appends holds nothing
    else of the log."""

    def __init__(self, levels: Iterable[Iterable[bytes]] = ()) -> None:
        self._levels = [list(each) for each in levels] or [[]]

    def append(self, leaf: bytes, size: int) -> list[tuple[Tile, bytes]]:
        """Add the hash of a leaf to a log that has `size`: the tiles that are full now."""
        full, found = [], leaf
        for level in range(len(self._levels) + 1):
            if level == len(self._levels):
                self._levels.append([])
            hashes = self._levels[level]
            hashes.append(found)
            if len(hashes) < TILE:
                break
            found = tree_root(hashes)
            full.append((Tile(level, size >> HEIGHT * (level + 1)), b"".join(hashes)))
            hashes.clear()
        return full

    def root(self) -> bytes:
        """Over all leaves."""
        found = None
        for hashes in self._levels:  # the lowest level lies at the right
            if hashes:
                at, roots = 0, []
                while at < len(hashes):
                    count = 1 << (len(hashes) - at).bit_length() - 1
                    roots.append(tree_root(hashes[at : at + count]))
                    at += count
                while roots:
                    found = roots.pop() if found is None else node_hash(roots.pop(), found)
        return tree_root([]) if found is None else found
