"""Two gateways behind nginx with the configuration of deploy/edge, which keeps for half a second: tests of
`test_edge.py`, and what is its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.integration.test_edge import (  # noqa: F401 - collected here
    ADMIN,
    test_block__refused_through_the_edge_and_back,
    test_block_by_bytes__refused_through_the_edge,
    test_codings_and_kinds__each_client_gets_its_own,
    test_head_of_a_cold_file__does_not_download_it,
    test_hosts__each_reads_its_own_address_and_none_chooses_anothers,
    test_origin__page_of_another_site__may_read_what_is_kept,
    test_page_and_file__asked_again__come_from_the_edge_and_tell_what_orchard_tells,
    test_page_that_changed_and_was_invalidated__comes_anew_through_the_edge,
    test_what_is_for_operators__is_not_for_clients,
    wheel_of,
)
from tests.support.orchard import Cluster, cluster
from tests.support.proxy import needs_nginx, nginx
from tests.support.stores import ROOT
from tests.support.upstream import Upstream

pytestmark = needs_nginx

Names = Callable[[], str]
CONFIGURATION = ROOT / "deploy" / "edge" / "nginx.conf"


class Edge(NamedTuple):
    base: str


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    with cluster(
        tmp_path_factory.mktemp("orchard"),
        upstream,
        gateways=2,
        ORCHARD_ADMIN_TOKEN=ADMIN["authorization"].split()[1],
        ORCHARD_EDGE="true",
    ) as running:
        yield running


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, orchard: Cluster) -> Iterator[Edge]:
    gateways = [each.port for each in orchard.all_of("gateway")]
    with nginx(tmp_path_factory.mktemp("edge"), gateways, CONFIGURATION) as base:
        yield Edge(base)


def test_range_of_a_cold_file__is_orchards_answer(
    orchard: Cluster, edge: Edge, upstream: Upstream, project: Names
) -> None:
    name = project()
    filename, wheel = wheel_of(upstream, name)
    piece = httpx.get(
        edge.base + orchard.file_path(name, filename), headers={"range": "bytes=10-19"}, trust_env=False
    )
    assert (piece.status_code, piece.content, piece.headers["x-edge"]) == (206, wheel[10:20], "PASS")


def test_reading_needs_a_token__nothing_is_kept_and_no_stranger_is_answered(
    orchard: Cluster, upstream: Upstream, project: Names, tmp_path: Path
) -> None:
    name = project()
    filename, _ = wheel_of(upstream, name)
    file = orchard.file_path(name, filename)
    closed = orchard.start("gateway", ORCHARD_ANONYMOUS_READ="false")
    try:
        with nginx(tmp_path / "edge", [closed.port, closed.port], CONFIGURATION) as base:
            for path in (f"/pypi/simple/{name}/", file):
                for _ in range(3):
                    answer = httpx.get(base + path, headers=ADMIN, trust_env=False)
                    assert (answer.status_code, answer.headers["x-edge"]) == (200, "PASS")
                    assert answer.headers["cache-control"].startswith("private, max-age=")
                    for wrong in ({}, {"authorization": "Bearer another-token-here"}):
                        assert httpx.get(base + path, headers=wrong, trust_env=False).status_code == 401
    finally:
        closed.stop()
        orchard.services.remove(closed)
