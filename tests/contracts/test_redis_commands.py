"""Operators may bring a Redis 6.2 (docs/operations.md): scripts use no command and no option that is younger.

The tests' server is newer, and says itself since when it has what.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import redis

from tests.support.stores import ROOT, RedisAddress

_CALL = re.compile(r"p?call\('([A-Z]+)'([^)]*)")
_OPTION = re.compile(r"'([A-Z]+)'")


def _calls() -> Iterator[tuple[str, list[str]]]:
    for path in sorted((ROOT / "shared").rglob("*")):
        if path.suffix in (".lua", ".py"):
            for name, rest in _CALL.findall(path.read_text()):
                yield name, _OPTION.findall(rest)


def _tokens(arguments: list[Any], since: str = "1.0") -> Iterator[tuple[str, str]]:
    for argument in arguments:
        younger = argument.get("since", since)
        if "token" in argument:
            yield argument["token"], younger
        yield from _tokens(argument.get("arguments", []), younger)


def _age(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def test_scripts__every_command_and_option__is_in_redis_6_2(cache_redis: RedisAddress) -> None:
    calls = list(_calls())
    assert len({name for name, _ in calls}) > 20
    with redis.Redis(
        port=cache_redis.port, password=cache_redis.password, protocol=3, decode_responses=True
    ) as client:
        docs: dict[str, Any] = client.execute_command("COMMAND DOCS", *{name for name, _ in calls})
    younger = []
    for name, options in calls:
        known = docs[name.lower()]
        since = dict(_tokens(known.get("arguments", [])))
        for what, version in [
            (name, known["since"]),
            *((f"{name} {o}", since.get(o, "1.0")) for o in options),
        ]:
            if _age(version) >= (6, 3):
                younger.append(f"{what}: {version}")
    assert younger == []
