"""pip, uv, npm, pnpm and yarn through Varnish in front of Orchard: those clients' tests, by its address."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients import node
from tests.clients.conftest import Tools, publish_tree
from tests.clients.test_install import (  # noqa: F401 - collected here
    test_download__source_archive__arrives,
    test_install__cold_then_warm__complete_tree,
    test_unknown_package__client_says_so,
)
from tests.clients.test_npm import (  # noqa: F401 - collected here
    test_lock_file__made_through_orchard__installs_frozen,
    test_ping_view_and_dist_tag__work,
)
from tests.support.edge import TOKEN, needs_varnish, varnish
from tests.support.orchard import Cluster, cluster, free_port
from tests.support.upstream import Upstream

pytestmark = needs_varnish


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        publish_tree(server)
        node.publish_tree(server)
        yield server


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    """One whose addresses are the edge's."""
    port = free_port()
    settings = {"ORCHARD_EDGE": "true", "ORCHARD_EDGE_TOKEN": TOKEN}
    settings["ORCHARD_EDGE_PURGE"] = f"http://127.0.0.1:{port}"
    with cluster(tmp_path_factory.mktemp("orchard"), upstream, gateways=2, **settings) as running:
        gateways = [each.port for each in running.all_of("gateway")]
        with varnish(tmp_path_factory.mktemp("edge"), port, gateways) as edge:
            running.url = lambda path: edge.base + path  # type: ignore[method-assign]
            yield running


@pytest.mark.parametrize("tool", node.NPMS)
def test_npm_install__cold_then_warm__complete_tree(
    orchard: Cluster, tools: Tools, tool: str, tmp_path: Path
) -> None:
    for round_name in ("cold", "warm"):
        tools.forget()
        folder = node.project(tmp_path / round_name)
        node.install(tools, tool, orchard.url("/npm/"), folder)
        assert node.installed(folder) == node.EXPECTED
