"""Merkle trees of RFC 6962 §2.1, and what checks proofs about them. The standard library alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

HASH = 32  # bytes of a SHA256


class Unproven(Exception):
    """Something is not as it must be; the message says what and where."""


def leaf_hash(entry: bytes) -> bytes:
    """Of an entry's bytes."""
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Of two subtrees that lie side by side."""
    return hashlib.sha256(b"\1" + left + right).digest()


def tree_root(hashes: Sequence[bytes]) -> bytes:
    """The root over hashes of leaves, or of complete subtrees of one size."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    stack: list[tuple[int, bytes]] = []  # complete subtrees, the largest first
    for found in hashes:
        size = 1
        while stack and stack[-1][0] == size:
            found, size = node_hash(stack.pop()[1], found), 2 * size
        stack.append((size, found))
    root = stack.pop()[1]
    while stack:
        root = node_hash(stack.pop()[1], root)
    return root


def check_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raises `Unproven` unless the leaf hash is at `index` of the tree of `size` leaves with this root."""
    if not 0 <= index < size:
        raise Unproven(f"entry {index} is not in a log of {size}")
    at, last, found, rest = index, size - 1, leaf, list(proof)
    while last:
        if at & 1 or at < last:
            if not rest:
                raise Unproven("the inclusion proof is too short")
            other = rest.pop(0)
            found = node_hash(other, found) if at & 1 else node_hash(found, other)
        at, last = at >> 1, last >> 1
    if rest:
        raise Unproven("the inclusion proof is too long")
    if found != root:
        raise Unproven(
            f"entry {index} is not in the log: its proof leads to another root than the checkpoint's"
        )


def check_consistency(old: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Raises `Unproven` unless the tree of `old` leaves is the beginning of that of `size` leaves
    (RFC 9162 §2.1.4.2)."""
    if old > size:
        raise Unproven(f"a log of {size} entries is no continuation of one of {old}")
    if old == size or old == 0:
        if proof:
            raise Unproven("the consistency proof is too long")
        if old == size and old_root != root:
            raise Unproven(f"two logs of {size} entries have different roots: the log was forked")
        if old == 0 and old_root != tree_root([]):
            raise Unproven("the root of the empty log is wrong")
        return
    rest = list(proof)
    if old & (old - 1) == 0:
        rest.insert(0, old_root)
    if not rest:
        raise Unproven("the consistency proof is too short")
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    before = after = rest.pop(0)
    while last:
        if at & 1 or at < last:
            if not rest:
                raise Unproven("the consistency proof is too short")
            other = rest.pop(0)
            if at & 1:
                before, after = node_hash(other, before), node_hash(other, after)
            else:
                after = node_hash(after, other)
        at, last = at >> 1, last >> 1
    if rest:
        raise Unproven("the consistency proof is too long")
    if before != old_root or after != root:
        raise Unproven(f"the log of {size} entries does not begin with the one of {old}: it was forked")
