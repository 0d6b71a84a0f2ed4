"""mvn through Varnish in front of Orchard: tests of `test_maven.py`, by the edge's address."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from shared.default_upstreams import default_upstream
from tests.clients.test_maven import (  # noqa: F401 - fixtures and tests, collected here
    maven,
    repository,
    test_resolve__strict_checksums_and_a_range__newest_in_mavens_order,
    tool,
    upstream,
    warmed,
)
from tests.support.edge import TOKEN, needs_varnish, varnish
from tests.support.maven_builders import Repository
from tests.support.orchard import Cluster, cluster, free_port
from tests.support.upstream import Upstream

pytestmark = needs_varnish


@pytest.fixture(scope="module")
def orchard(
    tmp_path_factory: pytest.TempPathFactory,
    upstream: Upstream,  # noqa: F811
    repository: Repository,  # noqa: F811
) -> Iterator[Cluster]:
    """One whose addresses are the edge's."""
    default, _ = default_upstream("maven", os.environ, 0)
    port = free_port()
    settings = {
        "ORCHARD_MAVEN_UPSTREAM": f"{repository.url},{default}",
        "ORCHARD_CACHE_TTL_NEGATIVE": "1",
        "ORCHARD_CACHE_TTL_INDEX": "2",
        "ORCHARD_EDGE": "true",
        "ORCHARD_EDGE_TOKEN": TOKEN,
        "ORCHARD_EDGE_PURGE": f"http://127.0.0.1:{port}",
    }
    with cluster(tmp_path_factory.mktemp("orchard"), upstream, gateways=2, **settings) as running:
        gateways = [each.port for each in running.all_of("gateway")]
        with varnish(tmp_path_factory.mktemp("edge"), port, gateways) as edge:
            running.url = lambda path: edge.base + path  # type: ignore[method-assign]
            yield running
