"""One running Orchard with a minimum age of 7 days, and packages of all ages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.firewall.feeds import Folder
from tests.firewall.shelves import NewShelf, aged, new_shelves
from tests.support.orchard import Cluster
from tests.support.upstream import Upstream


@pytest.fixture(scope="package")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Of advisories, for an Orchard of a module's own."""
    return Folder(tmp_path_factory.mktemp("feeds") / "osv")


@pytest.fixture(scope="package")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    with aged(tmp_path_factory.mktemp("orchard"), upstream) as running:
        yield running


@pytest.fixture
def shelf(orchard: Cluster, upstream: Upstream) -> NewShelf:
    """A new package of a protocol."""
    return new_shelves(orchard, upstream)
