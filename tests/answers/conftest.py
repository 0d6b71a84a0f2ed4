"""One Orchard for all answers, with short patience and no memory of absence."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.orchard import Cluster, cluster
from tests.support.upstream import Upstream


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    settings = {"ORCHARD_REQUEST_TIMEOUT": "3", "ORCHARD_CACHE_TTL_NEGATIVE": "1"}
    with cluster(tmp_path_factory.mktemp("orchard"), upstream, extractors=0, **settings) as running:
        yield running
