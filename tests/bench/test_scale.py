"""The large installation of `make bench ARGS=scale`, made small: no statement reads a table whole, and
none is left out."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from bench.scale import jobs, samples, times
from bench.scale.rows import Sizes, make_rows
from bench.scale.samples import SAMPLES, SMALL, of, statements

ROOT = Path(__file__).parents[2]
ROWS = 20_000
LARGE = {
    "artifacts", "cached_urls", "artifact_dependencies", "index_documents", "project_pins", "packages",
    "artifact_uses", "absences", "events", "audit", "resolutions", "ensures", "serving_files",
    "serving_clients", "first_seen",
}  # fmt: skip
MOST_READ = 1_500
READS_WHOLE = {
    "services.fetcher.sources.absences:_PRUNE": "what is to stay is counted; at most 220,000",
    "services.gateway.api.search:CONTAINING": "asked where there are 32 MiB of names at most",
    "services.gateway.api.admin.dry_run:_SERVED": "sums of days, when an operator asks; it ends by itself",
    "services.gateway.api.stock:STOCK": "of 2 MiB of blocks at most",
}


def test_statement__each_has_a_sample_or_a_reason_to_have_none() -> None:
    named = {name: (of(SAMPLES, name), of(SMALL, name)) for name in statements()}
    assert [name for name, found in named.items() if found == (None, None)] == []
    constants = {each.rpartition(":")[2] for each in named}
    assert {each.rpartition(":")[2] for each in (*SAMPLES, *SMALL)} <= constants, "gone"


async def test_statement__none_reads_a_large_table_whole(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "MANY", 5)
    monkeypatch.setattr(samples, "HOUSEKEPT", 5)
    await make_rows(database_url, Sizes(ROWS))
    # On so few rows reading a table whole may be cheap: what does so although it is forbidden has no index.
    found = await times.measure(database_url, Sizes(ROWS), runs=1, settings=["SET enable_seqscan = off"])
    assert len(found) > 40
    read = {each.name: (each.looked_at, sorted(LARGE.intersection(each.scans))) for each in found}
    too_much = {name for name, (rows, scans) in read.items() if rows > MOST_READ or scans}
    assert {name: read[name] for name in too_much - set(READS_WHOLE)} == {}


def test_periodic_work__each_is_measured_or_said_to_be_bounded() -> None:
    found = set()
    for path in [*ROOT.glob("services/**/*.py"), *ROOT.glob("shared/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Every":
                name = next(each.value for each in node.keywords if each.arg == "name")
                found.add(ast.unparse(name).strip("f'"))
    assert found == {*jobs.BOUNDED, *jobs.MEASURED, *jobs.NAMED_BY_VARIABLE}
