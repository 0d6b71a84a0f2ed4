"""npm's audits against feeds of advisories: each client shows what the feeds tell, and asks nobody else.

yarn 1 is not here: its audit asks one address that is built in, whatever registry is set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.conftest import Tools
from tests.clients.node import command, environment, install, project, publish_tree
from tests.firewall.feeds import Folder, await_feed, osv, span
from tests.support.npm_builders import PREFIX
from tests.support.orchard import Cluster, cluster
from tests.support.upstream import Reply, Upstream

AUDITS = {
    "npm-10": ["audit", "--json"],
    "npm-11": ["audit", "--json"],
    "pnpm-10": ["audit", "--json"],
    "yarn-4": ["npm", "audit", "--recursive", "--json"],
}
ASKED = ("advisories/bulk", "audits/quick", "audits")


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """It would answer that nothing is known."""
    with Upstream() as server:
        publish_tree(server)
        for path in ASKED:
            server.put(f"{PREFIX}/-/npm/v1/security/{path}", Reply(b"{}", "application/json"))
        yield server


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("orchard")
    feed = Folder(folder / "feed")
    about = {"summary": "leaf is bad", "database_specific": {"severity": "HIGH"}}
    feed.put(osv("GHSA-0000-leaf", "npm", "orchard-leaf", ranges=[span(fixed="2.0.0")], **about))
    with cluster(folder / "at", upstream, ORCHARD_OSV_FEEDS=str(feed.path)) as running:
        await_feed(running)
        yield running


@pytest.mark.parametrize("tool", AUDITS)
def test_audit__shows_what_the_feed_tells__and_no_upstream_is_asked(
    orchard: Cluster, upstream: Upstream, tools: Tools, tool: str, tmp_path: Path
) -> None:
    folder = project(tmp_path / "demo")
    registry = orchard.url("/npm/")
    install(tools, tool, registry, folder)
    done = tools.run([*command(tool), *AUDITS[tool]], cwd=folder, env=environment(tools, registry))
    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    assert "leaf is bad" in done.stdout and "orchard-leaf" in done.stdout, said
    assert "2.0.0" in done.stdout, said
    assert sum(upstream.count(f"{PREFIX}/-/npm/v1/security/{path}") for path in ASKED) == 0


@pytest.mark.parametrize("tool", AUDITS)
def test_audit__of_what_no_advisory_is_about__finds_nothing(
    orchard: Cluster, tools: Tools, tool: str, tmp_path: Path
) -> None:
    folder = project(tmp_path / "demo", {"orchard-extra": "0.1.0"})
    registry = orchard.url("/npm/")
    install(tools, tool, registry, folder)
    done = tools.run([*command(tool), *AUDITS[tool]], cwd=folder, env=environment(tools, registry))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "leaf is bad" not in done.stdout
