"""`python -m bench.bundles`: a small run of it imports what it says."""

from __future__ import annotations

from pathlib import Path

from bench.bundles import measure


async def test_small_run__prints_import_and_raw_copy(empty_database_url: str, tmp_path: Path) -> None:
    first, *rest = await measure(tmp_path, empty_database_url, 50)
    assert "50 files" in first.note and "the raw copy took" in first.note
    assert [each.name for each in rest] == ["import beside the raw copy", "the same again"]
