"""Proofs as files (C2SP tlog-proof), whole logs as folders (C2SP tlog-tiles). The standard library alone."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from shared.tlog.documents import read_document
from shared.tlog.notes import Checkpoint, Key, decode64, read_checkpoint, read_count
from shared.tlog.trees import Unproven, check_inclusion, leaf_hash, tree_root

PROOF_HEADER = "c2sp.org/tlog-proof@v1"
TILE = 256  # hashes of a full tile


@dataclass(frozen=True, slots=True)
class Proof:
    """That an entry is in a log."""

    entry: bytes
    index: int
    hashes: list[bytes]
    checkpoint: bytes


def write_proof(proof: Proof) -> bytes:
    """Its text, for a file."""
    lines = [PROOF_HEADER, f"extra {base64.b64encode(proof.entry).decode()}", f"index {proof.index}"]
    lines += [base64.b64encode(each).decode() for each in proof.hashes]
    return "\n".join([*lines, "", ""]).encode() + proof.checkpoint


def read_proof(data: bytes) -> Proof:
    """Checks the form alone. Raises `Unproven`."""
    head, _, checkpoint = data.partition(b"\n\n")
    lines = head.decode("latin-1").split("\n")
    if len(lines) < 3 or lines[0] != PROOF_HEADER or len(lines) > 3 + 64:
        raise Unproven(f"not a proof: it begins with {PROOF_HEADER!r}, an entry and an index")
    (extra, _, entry), (word, _, index) = lines[1].partition(" "), lines[2].partition(" ")
    if extra != "extra" or word != "index":
        raise Unproven("not a proof: it has no entry, or no index")
    return Proof(decode64(entry), read_count(index), [decode64(each) for each in lines[3:]], checkpoint)


def check_file(sha256: str, proof: Proof, key: Key) -> tuple[dict[str, Any], Checkpoint]:
    """The entry by which a file with this SHA256 (lower-case hex) was admitted, and in which state of the
    log. Raises `Unproven`."""
    checkpoint = read_checkpoint(proof.checkpoint, key)
    return check_admission(sha256, proof, checkpoint), checkpoint


def check_admission(sha256: str, proof: Proof, checkpoint: Checkpoint) -> dict[str, Any]:
    """As `check_file`, by a checkpoint that was read before; the proof's own is passed over."""
    leaf = leaf_hash(proof.entry)
    check_inclusion(leaf, proof.index, checkpoint.size, proof.hashes, checkpoint.root)
    entry = read_document(proof.entry, "an entry")
    digests = entry.get("digests")
    if entry.get("kind") != "admission" or not isinstance(digests, dict) or digests.get("sha256") != sha256:
        raise Unproven(f"the proof is of another file: this one's SHA256 is {sha256}")
    return entry


def read_hashes(data: bytes) -> list[bytes]:
    """A consistency proof: one hash in base64 a line. Raises `Unproven`."""
    return [decode64(line) for line in data.decode("latin-1").splitlines()]


def tile_path(level: int | str, index: int, width: int = TILE) -> str:
    """Where a tile lies; level "entries" is a bundle of entries. `width` under 256: a partial tile."""
    parts = [f"{index % 1000:03}"]
    while index >= 1000:
        index //= 1000
        parts.insert(0, f"x{index % 1000:03}")
    return f"tile/{level}/{'/'.join(parts)}" + (f".p/{width}" if width < TILE else "")


def read_bundle(data: bytes) -> list[bytes]:
    """The entries of a bundle, each after its length in two bytes. Raises `Unproven`."""
    entries, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 2], "big")
        entries.append(data[at + 2 : at + 2 + length])
        at += 2 + length
    if at != len(data) or len(entries) > TILE:
        raise Unproven("a bundle of entries is cut off, or too long")
    return entries


def check_mirror(read: Callable[[str], bytes], key: Key, old: Checkpoint | None = None) -> Checkpoint:
    """A whole log: each entry, each tile, the root; and that it goes on from `old`. `read` gives the bytes at
    a path ("checkpoint", "tile/0/000"). Raises `Unproven`, which names the place, and what `read` raises."""
    checkpoint = read_checkpoint(read("checkpoint"), key)
    level, hashes = 0, list(_leaves(read, checkpoint.size))
    if tree_root(hashes) != checkpoint.root:
        raise Unproven("the entries have another root than the checkpoint")
    if old is not None and (old.size > len(hashes) or tree_root(hashes[: old.size]) != old.root):
        raise Unproven(f"the log does not begin with that of {old.size} entries: it was forked")
    while hashes:
        for index in range(0, len(hashes), TILE):
            tile = hashes[index : index + TILE]
            path = tile_path(level, index // TILE, len(tile))
            if read(path) != b"".join(tile):
                raise Unproven(f"{path} does not hold the hashes of its entries")
        hashes = [tree_root(hashes[at : at + TILE]) for at in range(0, len(hashes) // TILE * TILE, TILE)]
        level += 1
    return checkpoint


def _leaves(read: Callable[[str], bytes], size: int) -> Iterable[bytes]:
    for index in range(0, size, TILE):
        width = min(TILE, size - index)
        path = tile_path("entries", index // TILE, width)
        entries = read_bundle(read(path))
        if len(entries) != width:
            raise Unproven(f"{path} holds {len(entries)} entries, not {width}")
        yield from map(leaf_hash, entries)
