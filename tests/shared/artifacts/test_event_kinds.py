"""Each kind of event is one that the operations manual tells of."""

from __future__ import annotations

from pathlib import Path

from shared.artifacts.event_kinds import EVENT_KINDS

MANUAL = Path(__file__).resolve().parents[3] / "docs" / "operations.md"


def test_event_kinds__all_stand_in_the_manual_s_table() -> None:
    table = MANUAL.read_text().partition("## Events worth a person's look")[2].partition("\n## ")[0]
    assert {f"`{kind}`" for kind in EVENT_KINDS} <= set(table.replace(",", " ").split())
