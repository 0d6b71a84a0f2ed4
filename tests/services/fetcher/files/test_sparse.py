"""A file of which some pieces are here."""

from __future__ import annotations

import io
import random

import pytest

from services.fetcher.files.sparse import Hole, OtherBytes, SparseFile

CONTENT = random.Random(7).randbytes(1000)


def test_sparse__pieces_in_any_order__are_one_where_they_touch() -> None:
    pieces = [(at, CONTENT[at : at + 130]) for at in range(0, 1000, 100)]
    random.Random(3).shuffle(pieces)
    file = SparseFile(1000)
    for start, data in pieces:
        file.add(start, data)
    assert file.read() == CONTENT and file.held_bytes == 1000
    assert file.seek(-10, io.SEEK_END) == 990 and file.read(100) == CONTENT[990:] and file.read(1) == b""


@pytest.mark.parametrize(
    ("start", "end", "missing"),
    [(0, 1000, (0, 900)), (100, 950, (100, 900)), (390, 410, (400, 410)), (295, 305, (295, 300))],
)
def test_sparse__read_of_what_is_not_here__says_what_is_missing(
    start: int, end: int, missing: tuple[int, int]
) -> None:
    file = SparseFile(1000)
    file.add(900, CONTENT[900:])
    file.add(300, CONTENT[300:400])
    file.seek(start)
    with pytest.raises(Hole) as hole:
        file.read(end - start)
    assert (hole.value.start, hole.value.end) == missing and file.tell() == start


@pytest.mark.parametrize(
    ("start", "data"), [(950, b"x" * 10), (990, CONTENT[990:] + b"x"), (-1, b"x"), (880, b"x" * 40)]
)
def test_sparse__piece_that_does_not_fit__is_refused(start: int, data: bytes) -> None:
    file = SparseFile(1000)
    file.add(900, CONTENT[900:])
    with pytest.raises(OtherBytes):
        file.add(start, data)
