"""Clients that are sent to the object store for large files (ORCHARD_ARTIFACT_DELIVERY=redirect)."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.clients.conftest import EXPECTED, Tools, installed
from tests.support.orchard import Cluster, cluster
from tests.support.seaweedfs import SeaweedFS, new_prefix
from tests.support.upstream import Upstream


@pytest.fixture(scope="module")
def orchard(
    tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, seaweedfs: SeaweedFS
) -> Iterator[Cluster]:
    settings = {**seaweedfs.settings(new_prefix()), "ORCHARD_ARTIFACT_DELIVERY": "redirect"}
    with cluster(tmp_path_factory.mktemp("orchard"), upstream, **settings) as running:
        yield running


def redirects(orchard: Cluster) -> int:
    """How many clients were sent to the store so far."""
    lines = orchard.gateway.log.read_text().splitlines()
    entries = [json.loads(line) for line in lines if line.startswith("{")]
    return sum(entry.get("status") == 307 for entry in entries)


@pytest.mark.parametrize("tool", ["pip-23.2", "pip-newest", "uv"])
def test_install__sent_to_the_store__installed_and_verified(
    orchard: Cluster, tools: Tools, tool: str
) -> None:
    index = orchard.url("/pypi/simple/")
    orchard.get(orchard.file_path("orchard-leaf", "orchard_leaf-2.0-py3-none-any.whl"))  # sealed from now on
    before = redirects(orchard)
    target = tools.folder / tool
    if tool == "uv":
        command = [*Tools.command(tool), "pip", "install", "--target", str(target), "--index-url", index]
    else:
        command = [*Tools.command(tool), "install", "--target", str(target), "--index-url", index]
    done = tools.run([*command, "orchard-app[more]"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert installed(target) == EXPECTED
    assert redirects(orchard) > before
