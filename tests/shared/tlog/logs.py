"""A log in memory, written as the writer writes it."""

from __future__ import annotations

from collections.abc import Sequence

from shared.tlog.entries import write_bundle
from shared.tlog.making import Edge, Range, Tile, hashes_of, root_of, tiles_of, width
from shared.tlog.proofs import TILE, tile_path
from shared.tlog.signing import Signer, new_signer_text, read_signer
from shared.tlog.trees import HASH, leaf_hash, tree_root

SIGNER = read_signer(new_signer_text("logs.example/one"))


def tiles_at(entries: Sequence[bytes]) -> dict[Tile, bytes]:
    """All tiles of a log, the partial ones too."""
    tiles: dict[Tile, bytes] = {}
    edge = Edge()
    for size, entry in enumerate(entries):
        tiles.update(edge.append(leaf_hash(entry), size))
    level, hashes = 0, [leaf_hash(each) for each in entries]
    while hashes:
        rest = len(hashes) // TILE * TILE
        if hashes[rest:]:
            tiles[Tile(level, rest // TILE)] = b"".join(hashes[rest:])
        hashes = [tree_root(hashes[at : at + TILE]) for at in range(0, rest, TILE)]
        level += 1
    return tiles


def proof_of(ranges: Sequence[Range], tiles: dict[Tile, bytes]) -> list[bytes]:
    assert tiles_of(ranges) <= set(tiles)
    return [root_of(low, high, tiles) for low, high in ranges]


def mirror_of(entries: Sequence[bytes], signer: Signer = SIGNER) -> dict[str, bytes]:
    """The files of a log, by path."""
    size, tiles = len(entries), tiles_at(entries)
    files = {"checkpoint": signer.checkpoint(size, tree_root([leaf_hash(each) for each in entries]))}
    for tile, data in tiles.items():
        assert len(hashes_of(data)) * HASH == len(data)
        files[tile_path(tile.level, tile.index, width(tile, size))] = data
    for index in range(0, size, TILE):
        bundle = list(entries[index : index + TILE])
        files[tile_path("entries", index // TILE, len(bundle))] = write_bundle(bundle)
    return files
