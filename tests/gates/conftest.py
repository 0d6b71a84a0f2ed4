"""One running Orchard for all gates, and the table that they print."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.gates.shops import SHOPS, Offer
from tests.support.orchard import Cluster, cluster, wait_until
from tests.support.upstream import Upstream

TOKEN = "operators-token-of-tests"
ADMIN = {"authorization": f"Bearer {TOKEN}"}
_numbers = itertools.count(1)

Offering = Callable[..., Offer]
Blocking = Callable[..., None]


@pytest.fixture(scope="package")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture(scope="package")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("orchard")
    with cluster(folder, upstream, ORCHARD_ADMIN_TOKEN=TOKEN) as running:
        yield running


@pytest.fixture
def offer(orchard: Cluster, upstream: Upstream) -> Offering:
    """Publish a new package of a protocol."""
    return lambda protocol, **more: SHOPS[protocol](orchard, upstream, f"thing-{next(_numbers)}", **more)


@pytest.fixture
def block(orchard: Cluster) -> Blocking:
    """Make a block that the gateway knows when this returns."""

    def make(**value: str) -> None:
        address = orchard.url("/api/v1/admin/blocks")
        made = httpx.post(address, json={"reason": "it steals", **value}, headers=ADMIN, trust_env=False)
        assert made.status_code == 201, made.text

    return make


@pytest.fixture(scope="package", autouse=True)
def show() -> Iterator[Callable[..., None]]:
    """Add a row to the table that is printed at the end."""
    rows: list[tuple[str, ...]] = []
    yield lambda *cells: rows.append(tuple(str(cell) for cell in cells))
    if rows:
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        print()
        for row in sorted(rows):
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))


__all__ = ["ADMIN", "wait_until"]
