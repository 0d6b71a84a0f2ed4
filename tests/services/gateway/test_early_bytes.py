"""What went out of a file before it was verified never makes a whole."""

from __future__ import annotations

from services.gateway.early_bytes import HELD_BYTES, MOST_FILES, EarlyBytes

SIZE = 100_000


def test_limit__the_last_kilobyte_and_of_short_files_a_half() -> None:
    early = EarlyBytes()
    assert early.limit("a", SIZE) == SIZE - HELD_BYTES
    assert [early.limit("a", size) for size in (1, 2, 10)] == [0, 1, 5]


def test_ranges__only_until_half_of_the_file_is_out_and_again_and_again_the_same() -> None:
    early = EarlyBytes()
    for _ in range(3):
        assert early.may_relay("a", 0, SIZE // 2, SIZE)
        early.note("a", 0, SIZE // 2)
    assert not early.may_relay("a", SIZE - 1, SIZE, SIZE)
    assert early.may_relay("b", SIZE - 1, SIZE, SIZE)


def test_range_after_a_whole_transfer__waits() -> None:
    early = EarlyBytes()
    early.note("a", 0, SIZE - HELD_BYTES)
    assert not early.may_relay("a", SIZE - 10, SIZE, SIZE)


def test_whole_after_a_tail__holds_back_what_stands_before_it() -> None:
    early = EarlyBytes()
    early.note("a", 10, 20)
    early.note("a", SIZE - 16_000, SIZE)
    early.note("a", SIZE - 17_000, SIZE - 15_000)
    assert early.limit("a", SIZE) == SIZE - 17_000 - HELD_BYTES


def test_sealed_or_crowded_out__is_forgotten() -> None:
    early = EarlyBytes()
    early.note("a", 0, SIZE)
    early.forget("a")
    assert early.may_relay("a", 0, 10, SIZE)
    early.note("a", 0, SIZE)
    for number in range(MOST_FILES):
        early.note(str(number), 0, 1)
    assert early.may_relay("a", 0, 10, SIZE)
