"""What shared caches are told: how long, by which name, and nothing at all of what a token opened."""

from __future__ import annotations

import pytest

from services.gateway.edge.words import EdgeWords

KEY = (b"surrogate-key", b"orchard pypi pypi/demo 0123")


def cache_control(words: EdgeWords, value: bytes, *others: tuple[bytes, bytes]) -> bytes:
    return dict(words.worded([(b"etag", b'"x"'), (b"cache-control", value), *others]))[b"cache-control"]


@pytest.mark.parametrize(
    ("value", "shared"),
    [(b"max-age=270", 270), (b"max-age=31536000, immutable", 300), (b"max-age=5", 5), (b"max-age=0", 0)],
)
def test_purged_edge__keeps_what_can_be_called_back_for_its_life_and_five_minutes_at_most(
    value: bytes, shared: int
) -> None:
    found = cache_control(EdgeWords(private=False, purged=True), value, KEY)
    rest = b", s-maxage=%d, stale-while-revalidate=10, stale-if-error=86400" % shared
    assert found == value + rest


def test_edge_that_is_not_purged__keeps_for_a_second_and_nothing_stale() -> None:
    words = EdgeWords(private=False, purged=False)
    assert cache_control(words, b"max-age=270", KEY) == b"max-age=270, s-maxage=1"
    assert cache_control(words, b"max-age=0", KEY) == b"max-age=0, s-maxage=0"


@pytest.mark.parametrize("purged", [True, False])
def test_without_a_name_or_not_to_be_stored__nothing_is_said(purged: bool) -> None:
    words = EdgeWords(private=False, purged=purged)
    assert cache_control(words, b"max-age=270") == b"max-age=270"
    assert cache_control(words, b"no-store", KEY) == b"no-store"


def test_reading_needs_a_token__everything_is_private_and_nothing_is_named() -> None:
    words = EdgeWords(private=True, purged=True)
    assert cache_control(words, b"max-age=270", KEY) == b"private, max-age=270"
    assert cache_control(words, b"no-store") == b"no-store"
    assert KEY not in words.worded([KEY, (b"cache-control", b"max-age=1")])
