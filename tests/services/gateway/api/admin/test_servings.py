"""What an id that is asked about stands for."""

from __future__ import annotations

import pytest

from services.gateway.api.admin.servings import about_advisory
from shared.errors import EntryNotFound
from shared.policy.advisories import About, Advisories, Advisory, Snapshot, Span, make_snapshot

ABOUT = About("npm", "demo", (Advisory("MAL-2026-1", True, spans=(Span(),), aliases=("GHSA-a",)),))
KNOWN = Advisories([Snapshot(make_snapshot([ABOUT]))], "x")


@pytest.mark.parametrize("text", ["MAL-2026-1", "GHSA-a"])
def test_advisory_that_a_feed_knows__is_about_its_packages(text: str) -> None:
    assert [each.project for each in about_advisory(text, KNOWN)] == ["demo"]


@pytest.mark.parametrize("text", ["MAL-2026-2", "GHSA-jfh8-c2jp-5v3q", "CVE-2026-1", "RUSTSEC-2024-0001"])
@pytest.mark.parametrize("known", [KNOWN, None])
def test_advisory_that_no_feed_knows__is_said_to_be_unknown(text: str, known: Advisories | None) -> None:
    with pytest.raises(EntryNotFound, match=f"no feed of advisories knows {text}"):
        about_advisory(text, known)


@pytest.mark.parametrize("text", ["left-pad", "pkg:npm/demo", "ab" * 32, "", "x-1"])
def test_anything_else__is_no_advisory(text: str) -> None:
    assert about_advisory(text, KNOWN) == []
