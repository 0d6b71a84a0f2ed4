"""Two running Orchards: one that records and writes bundles, and one that knows no registry."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.postgres.connection import session
from shared.tlog.signing import new_signer_text, read_signer
from tests.firewall.shelves import SHELVES, Shelf
from tests.support.orchard import Cluster, cluster
from tests.support.stores import ROOT
from tests.support.upstream import Upstream
from tests.views.test_builds import Build

TOKEN = "operators-token-of-tests"
ADMIN = {"authorization": f"Bearer {TOKEN}"}
LOG_KEY = new_signer_text("bundles.example/log")
KEY = str(read_signer(LOG_KEY).key)
_numbers = itertools.count(1)

NewShelf = Callable[[str], Shelf]
NewBuild = Callable[[], Build]


@pytest.fixture(scope="package")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture(scope="package")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("orchard")
    with cluster(folder, upstream, ORCHARD_ADMIN_TOKEN=TOKEN, ORCHARD_LOG_KEY=LOG_KEY) as running:
        yield running


@pytest.fixture(scope="package")
def far_away(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    """A gateway alone: nobody is there who could fetch."""
    folder = tmp_path_factory.mktemp("there")
    with cluster(folder, upstream, fetchers=0, extractors=0, ORCHARD_ADMIN_TOKEN=TOKEN) as running:
        yield running


@pytest.fixture
def there(far_away: Cluster) -> Cluster:
    """The same, with nothing seen of any log."""

    async def forget() -> None:
        async with session(far_away.database_url) as database:
            await database.script("DELETE FROM bundle_logs")

    asyncio.run(forget())
    return far_away


@pytest.fixture
def shelf(orchard: Cluster, upstream: Upstream) -> NewShelf:
    """A new package of a protocol."""
    return lambda kind: SHELVES[kind](orchard, upstream, f"thing-{next(_numbers)}")


def command(orchard: Cluster, *words: str, exit_code: int = 0) -> str:
    """`orchard`, with an Orchard's settings as those of its machine; what it said."""
    env = orchard.environment()
    env |= {"ORCHARD_URL": orchard.gateway.base}
    line = [sys.executable, "-m", "services.cli", *words]
    done = subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True, timeout=110)
    assert done.returncode == exit_code, done.stdout + done.stderr
    return done.stdout if exit_code == 0 else done.stdout + done.stderr


def bundle(orchard: Cluster, build: Build, path: Path, *words: str) -> dict[str, Any]:
    """Write one; what the command tells."""
    told = command(orchard, "bundle", build.told["id"], "-o", str(path), "--json", *words)
    return dict(json.loads(told))
