"""A bounded memory stays within its bounds and forgets the oldest."""

from __future__ import annotations

from shared.process.bounded import Bounded


def test_put__beyond_the_number__the_oldest_is_forgotten() -> None:
    memory = Bounded[str, int](2)
    memory.put("a", 1)
    memory.put("b", 2)
    assert memory.put("c", 3) == [1]
    assert list(memory) == ["b", "c"]


def test_put__a_key_anew__is_written_last() -> None:
    memory = Bounded[str, int](2)
    for key, value in (("a", 1), ("b", 2), ("a", 3), ("c", 4)):
        memory.put(key, value)
    assert list(memory) == ["a", "c"]
    assert memory.get("a") == 3


def test_use__saves_from_being_forgotten__get_does_not() -> None:
    memory = Bounded[str, int](2)
    memory.put("a", 1)
    memory.put("b", 2)
    assert memory.use("a") == 1
    assert memory.get("b") == 2
    memory.put("c", 3)
    assert list(memory) == ["a", "c"]
    assert memory.use("b") is None


def test_weight__together_within_the_bound() -> None:
    memory = Bounded[str, bytes](max_weight=10)
    for key in "abc":
        memory.put(key, key.encode(), 4)
        assert memory.weight <= 10
    assert list(memory) == ["b", "c"]
    memory.put("c", b"lighter", 1)
    memory.put("d", b"d", 5)
    assert list(memory) == ["b", "c", "d"]
    memory.pop("b")
    assert memory.weight == 6


def test_put__too_heavy_alone__not_remembered_and_nothing_is_forgotten_for_it() -> None:
    memory = Bounded[str, int](max_weight=10)
    memory.put("a", 1, 9)
    memory.put("b", 2, 11)
    assert list(memory) == ["a"]
    memory.put("a", 3, 11)  # nor is what it would have taken the place of
    assert not memory
    assert memory.weight == 0


def test_clear__nothing_is_left() -> None:
    memory = Bounded[str, int](3, max_weight=10)
    memory.put("a", 1, 5)
    memory.clear()
    assert not memory
    assert memory.weight == 0
    assert "a" not in memory
