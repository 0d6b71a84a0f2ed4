"""What `orchard why` says of one version."""

from __future__ import annotations

from typing import Any

import pytest

from services.cli.commands.exempt import _row, let_in

BY_US = {"status": "verified", "kind": "GitHub", "repository": "us/lib", "workflow": "release.yml"}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"provenance": BY_US}, "by us/lib (GitHub, release.yml)"),
        ({"provenance": {"status": "none"}}, "provenance: none"),
        ({"why": "held", "rule": "trust", "provenance": BY_US}, "held; provenance: verified"),
        ({"published": 1_800_000_000.0, "provenance": BY_US}, "; by us/lib"),
        ({"why": "young", "warnings": ["odd"]}, "young; warning: odd"),
        ({"rule": "stored", "why": "served: stored here, before the rule x: no"}, "before the rule x"),
        ({"published": 1_800_000_000.0, "first_sight": True}, "the upstream tells no date"),
        ({}, "-"),
    ],
)
def test_why__tells_of_warnings_and_who_published(said: dict[str, Any], told: str) -> None:
    assert told in _row({"what": "pkg:type/demo@1", "allowed": True, **said})[-1]


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ({}, "x is exempt"),
        ({"refused": "", "malware": "", "was_held": None}, "x is exempt"),
        ({"was_held": True}, "x is exempt"),
        ({"was_held": False}, "x is exempt; it was not held"),
        ({"malware": "MAL-1: it steals"}, "x is exempt; it is malware: MAL-1: it steals"),
        ({"refused": "x is blocked by hand"}, "x is exempt\nbut it is refused still: x is blocked by hand"),
    ],
)
def test_let_in__tells_what_is_then_true(made: dict[str, Any], told: str) -> None:
    assert let_in("x", "is exempt", made) == told
