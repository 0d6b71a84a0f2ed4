"""Trees, tiles and proofs beside the formulas of RFC 6962."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.tlog.making import Edge, Tile, consistency_ranges, inclusion_ranges, root_of, width
from shared.tlog.trees import Unproven, check_consistency, check_inclusion, leaf_hash, tree_root
from tests.shared.tlog import rfc6962
from tests.shared.tlog.logs import proof_of, tiles_at

ENTRIES = [b"entry %d" % number for number in range(1400)]
TILES = {size: tiles_at(ENTRIES[:size]) for size in (1, 2, 3, 7, 255, 256, 257, 511, 512, 700, 1400)}
SIZES = st.sampled_from(sorted(TILES))


@settings(max_examples=120, deadline=None)
@given(SIZES, st.data())
def test_an_inclusion_proof_is_that_of_the_rfc_and_proves(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = proof_of(inclusion_ranges(index, size), TILES[size])
    assert proof == rfc6962.path(index, ENTRIES[:size])
    root = rfc6962.mth(ENTRIES[:size])
    check_inclusion(leaf_hash(ENTRIES[index]), index, size, proof, root)


@settings(max_examples=120, deadline=None)
@given(SIZES, st.data())
def test_a_consistency_proof_is_that_of_the_rfc_and_proves(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(0, size))
    proof = proof_of(consistency_ranges(old, size), TILES[size])
    assert proof == rfc6962.proof(old, ENTRIES[:size])
    check_consistency(old, rfc6962.mth(ENTRIES[:old]), size, rfc6962.mth(ENTRIES[:size]), proof)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.data())
def test_no_wrong_proof_proves(size: int, data: st.DataObject) -> None:
    entries = ENTRIES[:size]
    index = data.draw(st.integers(0, size - 1))
    root, leaf, proof = rfc6962.mth(entries), leaf_hash(entries[index]), rfc6962.path(index, entries)
    wrong = [(leaf_hash(b"another"), index, size, proof, root), (leaf, index, size, [*proof, leaf], root)]
    wrong += [(leaf, size, size, proof, root), (leaf, index, size, proof, leaf_hash(b"another"))]
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        wrong += [(leaf, index, size, [*proof[:at], leaf_hash(b""), *proof[at + 1 :]], root)]
        wrong += [(leaf, index, size, proof[:at], root)]
    for each in wrong:
        with pytest.raises(Unproven):
            check_inclusion(*each)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 300), st.data())
def test_no_fork_is_consistent(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size - 1))
    changed = data.draw(st.integers(0, old - 1))
    forked = [*ENTRIES[:changed], b"forked", *ENTRIES[changed + 1 : size]]
    roots = rfc6962.mth(ENTRIES[:old]), rfc6962.mth(forked)
    for entries in (ENTRIES[:size], forked):
        with pytest.raises(Unproven):
            check_consistency(old, roots[0], size, roots[1], rfc6962.proof(old, entries))
    with pytest.raises(Unproven, match="no continuation"):
        check_consistency(size, roots[1], old, roots[0], [])


def test_the_edge_has_the_root_at_every_size_and_tiles_once_they_are_full() -> None:
    edge, full = Edge(), {}
    for size, entry in enumerate(ENTRIES):
        full.update(edge.append(leaf_hash(entry), size))
        if size % 97 == 0 or size in (254, 255, 256):
            assert edge.root() == tree_root([leaf_hash(each) for each in ENTRIES[: size + 1]])
    assert full == {tile: data for tile, data in TILES[1400].items() if width(tile, 1400) == 256}


def test_a_million_entries_make_tiles_of_three_levels() -> None:
    edge = Edge()
    leaf = leaf_hash(b"")
    full = [tile for size in range(70_000) for tile, _ in edge.append(leaf, size)]
    assert [tile for tile in full if tile.level == 1] == [Tile(1, 0)]
    assert (
        width(Tile(2, 0), 70_000) == 1
        and width(Tile(1, 1), 70_000) == 17
        and width(Tile(0, 273), 70_000) == 112
    )


def test_the_root_of_nothing_is_that_of_no_bytes() -> None:
    assert Edge().root() == tree_root([]) == root_of(0, 0, {}) == rfc6962.mth([])
