"""The seekable view of an object: right bytes, few of them."""

from __future__ import annotations

import io
import os
import random

import pytest

from services.extractor.extraction.ranges import BLOCK_BYTES, ByteBudgetExceeded, SeekableObject

DATA = os.urandom(3_000_017)


class Counted:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.calls: list[tuple[int, int]] = []

    def __call__(self, start: int, length: int) -> bytes:
        self.calls.append((start, length))
        return self.data[start : start + length]


def opened(data: bytes, budget_bytes: int = 1 << 30) -> tuple[SeekableObject, Counted]:
    source = Counted(data)
    return SeekableObject(source, len(data), budget_bytes=budget_bytes), source


def test_read__random_seeks__same_as_a_plain_file() -> None:
    file, _ = opened(DATA)
    plain = io.BytesIO(DATA)
    chooser = random.Random(7)
    for _ in range(500):
        offset, count = chooser.randrange(len(DATA) + 10), chooser.randrange(200_000)
        assert file.seek(offset) == plain.seek(offset)
        assert file.read(count) == plain.read(count)
        assert file.tell() == plain.tell()
    assert file.seek(-5, io.SEEK_END) == len(DATA) - 5
    assert file.read() == DATA[-5:]
    assert file.seek(10) == 10
    assert file.seek(5, io.SEEK_CUR) == 15


def test_read__forward__few_large_ranges_each_byte_once() -> None:
    file, source = opened(DATA)
    assert b"".join(iter(lambda: file.read(10_000), b"")) == DATA
    assert file.bytes_read == len(DATA)
    assert len(source.calls) < len(DATA) / BLOCK_BYTES / 4


def test_read__end_of_a_large_object__one_or_two_blocks() -> None:
    file, _ = opened(DATA)
    file.seek(-22, io.SEEK_END)
    file.read(22)
    file.seek(-1000, io.SEEK_END)
    file.read(1000)
    assert file.bytes_read <= 2 * BLOCK_BYTES


def test_read__over_the_budget__refused_before_it_is_fetched() -> None:
    file, source = opened(DATA, budget_bytes=10 * BLOCK_BYTES)
    with pytest.raises(ByteBudgetExceeded):
        file.read()
    assert sum(length for _, length in source.calls) <= 10 * BLOCK_BYTES


def test_read__object_shorter_than_its_row__os_error_not_endless() -> None:
    file = SeekableObject(Counted(DATA[:100]), len(DATA), budget_bytes=1 << 30)
    with pytest.raises(OSError, match="shorter"):
        file.read()


def test_seek__before_the_start__os_error() -> None:
    file, _ = opened(DATA)
    with pytest.raises(OSError, match="before"):
        file.seek(-1)


def test_read__empty_object__empty() -> None:
    file, source = opened(b"")
    assert file.read() == b""
    assert source.calls == []
