"""Real clients under a minimum age, case by case (docs/minimum-age.md): what each ends with, and that nobody
was given a byte of what is young."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scripts import age_table
from tests.clients.aged.cases import REFUSED, Case, rows
from tests.clients.aged.table import Table
from tests.firewall.shelves import aged
from tests.support.stores import ROOT
from tests.support.upstream import Upstream

pytestmark = pytest.mark.timeout(300)  # the first row of a client runs all of its that must work
ROWS = list(rows())


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Table]:
    with aged(tmp_path_factory.mktemp("orchard"), upstream) as running:
        yield Table(running, upstream, tmp_path_factory.mktemp("clients"))


@pytest.mark.parametrize(("case", "client"), ROWS, ids=[f"{case.name}-{client}" for case, client in ROWS])
def test_client__ends_with_what_the_table_says_and_nobody_has_what_is_young(
    table: Table, case: Case, client: str
) -> None:
    shelf = table.shelf(case, client)
    young = set(case.ages_in(shelf.protocol, case.ages)) - set(shelf.shown())
    found = table.outcome(case, client)
    said = found.done.stdout + found.done.stderr
    if case.expected == REFUSED:
        assert found.done.returncode != 0, said
        assert found.versions == set(), said
    else:
        assert found.done.returncode == 0, said
        assert found.versions == {case.spelt(shelf.protocol, case.expected)}
    if case.asks != "lock":  # whose file went out while it was exempt
        assert {version: table.given(shelf, version) for version in young} == dict.fromkeys(young, 0)


def test_page__is_what_the_table_says() -> None:
    assert (ROOT / "docs" / "minimum-age.md").read_text() == age_table.page()
