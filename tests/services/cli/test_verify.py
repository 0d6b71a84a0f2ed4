"""`orchard verify`: what ends it as not proven, and what says nothing about a file."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services.cli.commands import verify
from services.cli.errors import CommandFailed, NotPermitted, ServerUnreachable, Unfinished, WrongUse
from shared.tlog.trees import Unproven

INPUTS = [{"name": "demo.whl", "digest": {"sha256": "0" * 64}, "annotations": {"orchard_kind": "file"}}]


class Log:
    """A log that says one thing of every file."""

    key = "demo+0+0"

    def __init__(self, error: Exception) -> None:
        self._error = error

    def check(self, sha256: str) -> None:
        raise self._error


def build_of(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    statement = SimpleNamespace(predicate={"buildDefinition": {"resolvedDependencies": INPUTS}}, whole={})
    monkeypatch.setattr(verify, "stated", lambda *_: (b"", statement))
    log: Any = Log(error)
    verify._build(SimpleNamespace(), log, "a" * 32)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [Unproven("another root"), CommandFailed("it was not admitted")])
def test_build__a_file_of_it_is_not_in_the_log__not_proven_and_named(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unproven, match=r"demo\.whl"):
        build_of(error, monkeypatch)


@pytest.mark.parametrize("kind", [ServerUnreachable, NotPermitted, Unfinished])
def test_build__the_log_cannot_be_asked__is_no_word_about_the_file(
    kind: type[CommandFailed], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(kind, match="no answer"):
        build_of(kind("no answer"), monkeypatch)


def test_save__two_files_of_one_name__refused_before_anything_is_asked(tmp_path: Path) -> None:
    options = argparse.Namespace(save=str(tmp_path), files=["a/x.jar", "b/x.jar"], proof="", statement="")
    with pytest.raises(WrongUse, match=r"x\.jar"):
        verify.run(options, SimpleNamespace())  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
