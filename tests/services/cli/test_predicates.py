"""A key signs statements of several predicates: none is taken for another, in whatever way it is asked."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services.cli.commands import build, statement, verify
from services.cli.errors import CommandFailed
from services.cli.output import Output
from services.cli.server import Answer, Server
from services.cli.target import choose_target
from shared.statements import provenance
from shared.tlog import verify as alone
from shared.tlog.dsse import CYCLONEDX, DEPENDENCY, OF_BUILDS, PROVENANCE, SPDX, STATEMENT, read_statement
from shared.tlog.trees import Unproven
from tests.support.bundles import SIGNER, envelope, sha256

ID, WHEEL = "b" * 32, b"a wheel"
KEY = str(SIGNER.key)
ALL = (DEPENDENCY, PROVENANCE, CYCLONEDX, SPDX, "https://example.com/another", "")


class Tells(Server):
    """An Orchard whose every answer is this."""

    def __init__(self, body: bytes) -> None:
        super().__init__(choose_target("http://127.0.0.1:9", {}))
        self._body = body

    def request(self, method: str, path: str, **_: Any) -> Answer:
        return Answer(200, {}, self._body)


def of_build(predicate: str, told: Mapping[str, Any]) -> bytes:
    subject = {"name": f"build-{ID}", "digest": {"sha256": "0" * 64}}
    whole = {"_type": STATEMENT, "predicateType": predicate, "subject": [subject], "predicate": told}
    return SIGNER.envelope(json.dumps(whole).encode())


def test_kinds_of_a_builds_statements__are_those_that_are_made() -> None:
    assert tuple(OF_BUILDS) == provenance.KINDS


@pytest.mark.parametrize("kind", OF_BUILDS)
@pytest.mark.parametrize("predicate", ALL)
def test_a_builds_statement__is_of_the_kind_that_was_asked_for(kind: str, predicate: str) -> None:
    server = Tells(of_build(predicate, {}))
    if predicate == OF_BUILDS[kind]:
        assert build.stated(server, ID, kind, KEY)[1].predicate_type == predicate
        return
    with pytest.raises(Unproven, match="the statement's predicate is"):
        build.stated(server, ID, kind, KEY)


@pytest.mark.parametrize("predicate", [each for each in ALL if each != PROVENANCE])
def test_verify_build__by_another_predicate_with_the_same_fields__not_proven(predicate: str) -> None:
    body = of_build(predicate, {"buildDefinition": {"resolvedDependencies": []}})
    log: Any = SimpleNamespace(key=SIGNER.key)
    with pytest.raises(Unproven, match="the statement's predicate is"):
        verify._build(Tells(body), log, ID)


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"buildDefinition": []},
        {"buildDefinition": {"resolvedDependencies": [1]}},
        {"buildDefinition": {"resolvedDependencies": [{"annotations": {"orchard_kind": "file"}}]}},
    ],
)
def test_verify_build__provenance_that_does_not_tell_its_files__not_proven(told: dict[str, Any]) -> None:
    log: Any = SimpleNamespace(key=SIGNER.key)
    with pytest.raises(Unproven, match="does not tell what the build got"):
        verify._build(Tells(of_build(PROVENANCE, told)), log, ID)


@pytest.mark.parametrize("way", ["statement", "verify --statement", "stand-alone"])
@pytest.mark.parametrize("predicate", ALL)
def test_a_files_statement__is_an_admission(
    way: str, predicate: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel, saved = tmp_path / "demo.whl", tmp_path / "demo.intoto.jsonl"
    wheel.write_bytes(WHEEL)
    saved.write_bytes(envelope(SIGNER, "demo.whl", WHEEL, kind=predicate) + b"\n")
    monkeypatch.setattr(statement, "connect", lambda _: Tells(saved.read_bytes()))

    def ask() -> None:
        if way == "statement":
            statement.run(argparse.Namespace(of=str(wheel), key=KEY, save=""), Output())
        elif way == "stand-alone":
            alone._statement(SimpleNamespace(file=str(wheel), statement=str(saved)), SIGNER.key, None)
        else:
            options = {"files": [str(wheel)], "key": KEY, "bundle": "", "proof": "", "save": ""}
            verify.run(argparse.Namespace(**options, statement=str(saved)), Output())

    if predicate == DEPENDENCY:
        assert read_statement(saved.read_bytes(), SIGNER.key, DEPENDENCY).is_about("sha256", sha256(WHEEL))
        ask()
        return
    with pytest.raises((CommandFailed, Unproven), match="the statement's predicate is"):
        ask()
