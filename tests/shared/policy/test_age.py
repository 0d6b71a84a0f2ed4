"""When something counts as published, and what a minimum age makes of that."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from shared.policy.age import EARLIEST, LONG_AGO, AgeLimit, Arrival, Dated, Seen, by_name, is_told, seen_anew
from shared.policy.verdict import ALLOWED

DAY = 86_400.0
NOW = 1_800_000_000.0
WEEK = AgeLimit(seconds=7 * DAY, since=NOW - 100 * DAY, nothing_after=0.0, stored_stay=True)


def listed(name: str, age_days: float | None = 30.0, mark: str = "m") -> Dated:
    return Dated(name, name, 0.0 if age_days is None else NOW - age_days * DAY, mark)


@pytest.mark.parametrize(
    ("age_days", "arrived", "expected_days"),
    [
        (30.0, None, 30.0),  # the upstream is believed
        (30.0, Arrival(NOW - 2 * DAY, NOW - DAY), 2.0),  # an earlier fetch lacked it
        (1.0, Arrival(NOW - 2 * DAY, NOW - DAY), 1.0),  # which does not contradict that
        (None, None, 20.0),  # no date: since the project was first seen
        (None, Arrival(NOW - 2 * DAY, NOW - DAY), 1.0),  # or since it was itself
        (-30.0, None, 20.0),  # a date in the future is none
        (-30.0, Arrival(NOW - 2 * DAY, NOW - DAY), 1.0),
        (-0.001, None, -0.001),  # clocks differ
        (NOW / DAY - 1, None, 20.0),  # neither is one of 1970, which disks without a clock tell
        (NOW / DAY - 10_000, None, 20.0),
        (NOW / DAY - 10_958, None, NOW / DAY - 10_958),
    ],
)
def test_date__of_the_upstream_unless_what_was_seen_contradicts_it(
    age_days: float | None, arrived: Arrival | None, expected_days: float
) -> None:
    seen = Seen(NOW - 20 * DAY, {} if arrived is None else {"a": arrived})
    assert seen.date_of(listed("a", age_days), NOW) == NOW - expected_days * DAY


@pytest.mark.parametrize("jump_days", [-4000.0, -10.0, -0.1, 0.1, 5.0])
@pytest.mark.parametrize("age_days", [30.0, 0.04, None])
def test_clock_that_is_wrong__what_comes_meanwhile_is_young_by_it_and_once_it_is_right(
    jump_days: float, age_days: float | None
) -> None:
    """Set back, or ahead by less than the age: whatever the upstream says, for an earlier fetch lacked it."""
    wrong = NOW + jump_days * DAY
    before = Seen(NOW - 20 * DAY)
    new = listed("a", age_days)
    seen = seen_anew(before, {}, by_name([new]), confirmed_at=min(wrong, NOW), now=wrong)
    assert WEEK.verdict(seen.date_of(new, wrong), 0.0, wrong) != ALLOWED
    if jump_days > 0 or new.published > NOW - DAY:
        assert WEEK.verdict(seen.date_of(new, NOW), 0.0, NOW) != ALLOWED


def test_listed_no_more__as_old_as_its_list_told_then_and_never_older_than_it_was_seen_to_be() -> None:
    old, forged, undated = listed("a", 30.0), listed("b", 300.0), listed("c", None)
    seen = seen_anew(
        Seen(NOW - 20 * DAY), {}, by_name([old]), confirmed_at=NOW - 20 * DAY, now=NOW - 20 * DAY
    )
    seen = msgspec.structs.replace(seen, arrivals={})
    steps = [[old], [old, forged, undated], []]
    for number, (before, after) in enumerate(itertools.pairwise(steps)):
        at = NOW - (9 - number) * DAY
        seen = seen_anew(seen, by_name(before), by_name(after), confirmed_at=at - DAY, now=at)
    assert seen.date_of_gone(old) == old.published
    assert seen.date_of_gone(forged) == NOW - 10 * DAY, "the fetch of before lacked it"
    assert seen.date_of_gone(undated) == seen.date_of_gone(listed("never")) == 0.0
    assert seen.date_of_gone(listed("a", mark="other bytes")) == 0.0
    again = seen_anew(seen, {}, by_name([old]), confirmed_at=NOW, now=NOW)
    assert again.date_of(old, NOW) == old.published and "a" not in again.left


@pytest.mark.parametrize(
    ("published", "stored_at", "told"),
    [(0.0, 0.0, False), (5.0, 0.0, True), (5.0, 9.0, True), (9.0, 9.0, False), (LONG_AGO, 9.0, True)],
)
def test_date_of_a_stored_file__told_where_it_is_older(
    published: float, stored_at: float, told: bool
) -> None:
    assert is_told(published, stored_at) is told


def arrivals(seen: Seen, *steps: list[Dated]) -> Seen:
    for number, (old, new) in enumerate(itertools.pairwise(steps)):
        at = NOW + number
        seen = seen_anew(seen, by_name(old), by_name(new), confirmed_at=at - 0.5, now=at)
    return seen


def test_seen__new_names_and_other_bytes_under_known_ones_are_new() -> None:
    before = [listed("a"), listed("b"), listed("c", mark="")]
    seen = arrivals(Seen(1.0), before, [listed("a"), listed("b", mark="other"), listed("c"), listed("d")])
    assert seen.arrivals == {"b": Arrival(NOW - 0.5, NOW), "d": Arrival(NOW - 0.5, NOW)}
    assert seen.since == 1.0


def test_seen__gone_and_back_with_the_same_bytes__is_as_old_as_it_was() -> None:
    both, one = [listed("a"), listed("b")], [listed("a")]
    assert arrivals(Seen(1.0), both, one, both).arrivals == {}
    assert arrivals(Seen(1.0), one, both, one, both).arrivals == {"b": Arrival(NOW - 0.5, NOW)}
    other = [listed("a"), listed("b", mark="other")]
    assert arrivals(Seen(1.0), both, one, other).arrivals == {"b": Arrival(NOW + 0.5, NOW + 1)}


@pytest.mark.parametrize(("mark", "is_new"), [("a", False), ("b", True)])
@pytest.mark.parametrize(
    "between",
    [("",), ("", ""), (None,), ("", None), (None, ""), (None, "", None)],
    ids=["no mark", "twice", "gone", "no mark, then gone", "back without a mark", "back and gone"],
)
def test_seen__told_without_a_mark_meanwhile__compared_with_the_last_that_was_told(
    between: tuple[str | None, ...], mark: str, is_new: bool
) -> None:
    """`None`: the document lacks it."""
    seen, before = Seen(0.0), by_name([Dated("x", "1", mark="a")])
    for at, each in enumerate((*between, mark), 1):
        listed = by_name([] if each is None else [Dated("x", "1", mark=each)])
        seen = seen_anew(seen, before, listed, confirmed_at=at - 0.5, now=float(at))
        before = listed
    assert ("x" in seen.arrivals) is is_new
    assert not seen.gone


def test_seen__of_more_than_a_year_ago__forgotten() -> None:
    old = Seen(1.0, {"a": Arrival(NOW - 402 * DAY, NOW - 401 * DAY), "b": Arrival(NOW - 2 * DAY, NOW - DAY)})
    again = [listed("a"), listed("b")]
    assert list(arrivals(old, again, again).arrivals) == ["b"]


@pytest.mark.parametrize("age_days", [None, 500.0])
def test_seen__of_more_than_a_year_ago__kept_where_it_contradicts_the_upstream(
    age_days: float | None,
) -> None:
    """A hard date may ask for more than the longest age."""
    arrival = Arrival(NOW - 402 * DAY, NOW - 401 * DAY)
    again = [listed("a", age_days)]
    assert arrivals(Seen(1.0, {"a": arrival}), again, again).arrivals == {"a": arrival}


@pytest.mark.parametrize(
    ("published", "stored", "rule"),
    [
        (8, None, ""),
        (6, None, "minimum_age"),
        (6, 5, "minimum_age"),  # stored since, by an exemption perhaps
        (101, 3, ""),
        (None, 8, ""),  # it is no younger than its storing
        (None, 3, None),
        (None, None, None),
    ],
)
def test_minimum_age__by_what_is_known(published: int | None, stored: int | None, rule: str | None) -> None:
    at = [0.0 if each is None else NOW - each * DAY for each in (published, stored)]
    found = WEEK.verdict(*at, NOW)
    assert (None if found is None else found.rule) == rule
    if found is not None and not found.allowed:
        assert found.until == at[0] + 7 * DAY


@pytest.mark.parametrize(("stay", "rule"), [(True, "stored"), (False, "minimum_age")])
def test_minimum_age__stored_before_the_rule__stays_if_that_is_wanted(stay: bool, rule: str) -> None:
    limit = AgeLimit(7 * DAY, NOW - DAY, 0.0, stay)
    found = limit.verdict(NOW - 3 * DAY, NOW - 2 * DAY, NOW)
    assert found is not None and (found.rule, found.allowed) == (rule, stay)


@pytest.mark.parametrize(
    ("published", "stored", "rule"),
    [(11, None, ""), (9, None, "nothing_after"), (9, 9, "nothing_after"), (None, 9, None), (None, 11, "")],
)
def test_nothing_after__a_hard_date(published: int | None, stored: int | None, rule: str | None) -> None:
    limit = AgeLimit(0.0, NOW, NOW - 10 * DAY, True)
    at = [0.0 if each is None else NOW - each * DAY for each in (published, stored)]
    found = limit.verdict(*at, NOW)
    assert (None if found is None else found.rule) == rule
    assert found is None or found.allowed == (rule == "")


def test_ageless__nothing_of_the_source_is_young_and_what_was_seen_is_kept() -> None:
    seen = arrivals(Seen(NOW, ageless=True), [listed("a")], [listed("a"), listed("b", 0.5)])
    assert {seen.date_of(listed(name, 0.5), NOW) for name in "ab"} == {LONG_AGO}
    assert list(seen.arrivals) == ["b"] and seen.ageless


@pytest.mark.parametrize(
    ("seen", "published", "is_first"),
    [
        (Seen(5.0), 0.0, True),
        (Seen(5.0), EARLIEST - 1, True),
        (Seen(5.0), NOW + 10**9, True),
        (Seen(5.0), EARLIEST + 1, False),
        (Seen(5.0, told={"1": EARLIEST + 1}), 0.0, False),
        (Seen(5.0, ageless=True), 0.0, False),
    ],
)
def test_first_sight__counts_where_the_upstream_tells_no_date_that_can_be(
    seen: Seen, published: float, is_first: bool
) -> None:
    listed = Dated("1", "1", published)
    assert seen.is_first_sight(listed, NOW) is is_first
    assert (seen.date_of(listed, NOW) == 5.0) is is_first
