"""One running Orchard without any rule, and packages of all ages."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.firewall.shelves import SHELVES, Shelf
from tests.support.orchard import Cluster, cluster
from tests.support.upstream import Upstream

TOKEN = "operators-token-of-tests"
ADMIN = {"authorization": f"Bearer {TOKEN}"}
_numbers = itertools.count(1)

NewShelf = Callable[[str], Shelf]


@pytest.fixture(scope="package")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture(scope="package")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("orchard"), upstream, ORCHARD_ADMIN_TOKEN=TOKEN) as running:
        yield running


@pytest.fixture
def shelf(orchard: Cluster, upstream: Upstream) -> NewShelf:
    """A new package of a protocol."""
    return lambda kind: SHELVES[kind](orchard, upstream, f"thing-{next(_numbers)}")
