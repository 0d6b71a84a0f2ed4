"""Budgets of what nobody asked for yet, and when guessing is throttled and given up."""

from __future__ import annotations

import pytest

from services.fetcher.ahead import budgets as under_test
from services.fetcher.ahead.budgets import Budgets
from services.fetcher.ahead.came import Came
from shared.queue.jobs import Asker, FetchIndex

CAME = Came("pypi", Asker("a", "x"), 1, "key")


class Book:
    """Budgets with a clock of its own."""

    def __init__(self, in_flight: int = 1000) -> None:
        self.now = 0.0
        self.budgets = Budgets(in_flight=in_flight, now=lambda: self.now)
        self.made = 0

    def take(self, client: str = "a", source_id: int = 1) -> str:
        """The id of a new guess, "" where none may be made."""
        self.made += 1
        job = FetchIndex("pypi", f"simple/p{self.made}", asker=Asker(client, "x"))
        may = self.budgets.take(job, source_id, f"source{source_id}", is_sure=True)
        return job.id if may else ""

    def settle(self, *, asked: int, unasked: int, size: int = 1) -> None:
        for number in range(asked + unasked):
            while not (job_id := self.take(client=f"client {number}")):
                self.forget()
            self.budgets.fetched(job_id, size)
            if number < asked:
                self.budgets.asked(job_id)
        self.forget()

    def forget(self) -> None:
        self.now += under_test.ASKED_WITHIN_SECONDS + 1
        self.budgets.forget_old()

    def allowed(self) -> int:
        """How many guesses may be made now, of clients of which each has made none."""
        taken = [self.take(client=f"other {number}") for number in range(300)]
        count = sum(map(bool, taken))
        for job_id in filter(None, taken):
            self.budgets.drop(job_id)
        return count


def test_client__has_so_many_that_nobody_asked_for__no_more_until_one_is_asked_for() -> None:
    book = Book()
    first = book.take()
    for _ in range(under_test.MOST_OF_CLIENT - 1):
        assert book.take()
    assert not book.take()
    assert book.take("another")
    book.budgets.fetched(first, 1)
    assert not book.take(), "fetched is not asked for"
    book.budgets.asked(first)
    assert book.take()


def test_client__has_so_many_bytes__no_more() -> None:
    book = Book()
    book.budgets.fetched(book.take(), under_test.MOST_BYTES_OF_CLIENT)
    assert not book.take()
    assert book.take("another")


def test_source__has_so_many_in_flight__no_more_until_one_ends() -> None:
    book = Book(in_flight=2)
    first = book.take("a")
    assert book.take("b")
    assert not book.take("c")
    assert book.take("c", source_id=2)
    book.budgets.fetched(first, 1)
    assert book.take("c")


def test_source__all_clients_together__bounded() -> None:
    book = Book()
    assert book.allowed() == under_test.MOST_OF_SOURCE


@pytest.mark.parametrize(
    ("asked", "unasked", "allowed"),
    [
        (40, 10, under_test.MOST_OF_SOURCE),
        (30, 30, under_test.TRICKLE),
        (2, 30, 0),
    ],
)
def test_source__guesses_are_wrong__a_trickle_then_none(asked: int, unasked: int, allowed: int) -> None:
    book = Book()
    budgets = book.budgets
    for number in range(asked + unasked):
        budgets._figure(1).count(0.0, 1, asked=number < asked)
    assert book.allowed() == allowed


def test_source__few_but_large_ones_are_wrong__none() -> None:
    book = Book()
    for _ in range(8):
        book.budgets._figure(1).count(0.0, 1, asked=True)
    book.budgets._figure(1).count(0.0, 10 * 1024 * 1024, asked=False)
    assert book.allowed() == 0


def test_source__was_given_up__comes_back_slowly() -> None:
    book = Book()
    book.settle(asked=0, unasked=6)
    for _ in range(40):
        book.budgets._figure(1).count(book.now, 1, asked=False)
    seen = []
    for _ in range(60):
        seen.append(book.allowed())
        book.now += 120
    assert seen[0] == 0
    assert [each for at, each in enumerate(seen) if not at or each != seen[at - 1]] == [
        0,
        under_test.TRICKLE,
        under_test.MOST_OF_SOURCE,
    ]


def test_failed__counts_as_wrong() -> None:
    book = Book()
    before = book.budgets.usefulness(1)
    book.budgets.failed(book.take())
    assert book.budgets.usefulness(1) < before


def test_asked__while_in_flight__counts_once_it_has_come() -> None:
    book = Book()
    job_id = book.take()
    assert book.budgets.asked(job_id) is None
    before = book.budgets.usefulness(1)
    book.budgets.fetched(job_id, 1)
    assert book.budgets.usefulness(1) > before
    assert job_id not in book.budgets


def test_asked__what_follows_was_held__is_given() -> None:
    book = Book()
    job_id = book.take()
    held = book.budgets.fetched(job_id, 1)
    assert held is not None
    held.then = CAME
    assert book.budgets.asked(job_id) is CAME
    assert book.budgets.asked(job_id) is None


def test_old__in_flight_and_lost__says_nothing_and_is_given_up() -> None:
    book = Book()
    job_id = book.take()
    before = book.budgets.usefulness(1)
    book.now += under_test.ASKED_WITHIN_SECONDS + 1
    assert book.budgets.forget_old() == [job_id]
    assert book.budgets.usefulness(1) == before
