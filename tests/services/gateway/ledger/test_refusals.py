"""Refused requests: a stranger's names make no rows without end."""

from __future__ import annotations

import msgspec
import pytest

from services.gateway.ledger import refusals as module
from services.gateway.ledger.entries import Entry
from services.gateway.ledger.refusals import Refusals
from shared.ledger.batch import REFUSED, File


def refused(filename: str, project: str = "left-pad", code: str = "blocked") -> Entry:
    return Entry(File("npm", project, "1.0.0", filename, ""), REFUSED, "NONE", code)


def files(refusals: Refusals, entries: list[Entry]) -> list[File]:
    return [msgspec.msgpack.decode(bytes(refusals.bounded(each).file), type=File) for each in entries]


def test_like_refusals__are_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = Refusals()
    first = refusals.bounded(refused("a.tgz"))
    assert refusals.bounded(refused("a.tgz")) is first
    assert refusals.bounded(refused("a.tgz", code="too_young")) is not first


def test_names_without_end__so_many_are_told_apart__then_projects__then_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_FILES", 3)
    monkeypatch.setattr(module, "MOST_PROJECTS", 2)
    refusals = Refusals()
    found = files(refusals, [refused(f"{number}.tgz") for number in range(50)])
    assert [each.filename for each in found] == ["0.tgz", "1.tgz", "2.tgz", *[""] * 47]
    assert {each.project for each in found} == {"left-pad"}
    found = files(refusals, [refused("x.tgz", f"p{number}") for number in range(50)])
    assert len({each.project for each in found}) == 2 and len(set(found)) == 2
    assert files(refusals, [refused("1.tgz")])[0].filename == "1.tgz"
    assert len(refusals._known) == 6


def test_another_day__names_are_told_apart_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_FILES", 1)
    refusals = Refusals()
    assert [each.filename for each in files(refusals, [refused("a"), refused("b")])] == ["a", ""]
    refusals._since -= 86_401.0
    assert files(refusals, [refused("b")])[0].filename == "b"
