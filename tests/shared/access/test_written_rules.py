"""The rules of the settings as a start puts them in force: what they ask less than before is an event."""

from __future__ import annotations

import json

import pytest

from shared.access.repository import write_rules
from shared.policy.rules import AgeRule, Rules, lost
from shared.postgres.connection import session

DAY = 86_400.0
STRICT = Rules(
    ages={"": AgeRule(7 * DAY), "npm": AgeRule(14 * DAY)},
    nothing_after=1.7e9,
    stored_stay=False,
    feeds=True,
    severity=7.0,
    trust="no-downgrade",
)
LAXER = {
    "no age": ({"ages": {}}, ["the minimum age was 168 h, and is 0 h", "of npm was 336 h, and is 0 h"]),
    "the common age in place of its own": (
        {"ages": {"": AgeRule(7 * DAY)}},
        ["of npm was 336 h, and is 168 h"],
    ),
    "no date": ({"nothing_after": 0.0}, ["gone, or later"]),
    "a later date": ({"nothing_after": 1.8e9}, ["gone, or later"]),
    "no feeds": ({"feeds": False}, ["no malware is refused"]),
    "no severity": ({"severity": None}, ["fewer vulnerabilities"]),
    "graver ones alone": ({"severity": 9.0}, ["fewer vulnerabilities"]),
    "provenance is shown alone": ({"trust": "verify"}, ["no provenance"]),
    "what is stored stays": ({"stored_stay": True}, ["stays served"]),
}


def changed(**fields: object) -> Rules:
    import msgspec

    return msgspec.structs.replace(STRICT, **fields)


@pytest.mark.parametrize(("fields", "told"), LAXER.values(), ids=LAXER)
def test_rules_that_ask_less__say_what(fields: dict[str, object], told: list[str]) -> None:
    found = lost(changed(**fields), STRICT)
    assert len(found) == len(told) and all(words in each for words, each in zip(told, found, strict=True)), (
        found
    )
    assert lost(STRICT, changed(**fields)) == []


def test_rules_that_ask_more_or_the_same__lose_nothing() -> None:
    stricter = changed(ages={"": AgeRule(30 * DAY)}, nothing_after=1.6e9, severity=0.0)
    assert lost(STRICT, STRICT) == lost(stricter, STRICT) == []


async def test_start_that_asks_less__is_an_event__once_for_the_same_and_none_for_more(
    database_url: str,
) -> None:
    async def events() -> list[tuple[list[str], int]]:
        async with session(database_url) as database:
            rows = await database.fetch(
                "SELECT detail::text, count FROM events WHERE kind = 'rules_weakened'"
            )
        return [(json.loads(row["detail"])["less"], row["count"]) for row in rows]

    assert await write_rules(database_url, STRICT, 1.0) == []
    assert await write_rules(database_url, STRICT, 2.0) is None
    assert await events() == []
    less = await write_rules(database_url, Rules(), 3.0)
    assert less and await events() == [(less, 1)]
    await write_rules(database_url, STRICT, 4.0)
    await write_rules(database_url, Rules(), 5.0)
    assert await events() == [(less, 2)]
