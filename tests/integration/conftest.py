"""One running Orchard per test module, in front of a scripted upstream; each test uses its own projects."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.support.orchard import Cluster, cluster
from tests.support.upstream import Upstream

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture(autouse=True)
def _healed(request: pytest.FixtureRequest) -> Iterator[None]:
    """No fault outlives its test."""
    yield
    if "upstream" in request.fixturenames:
        request.getfixturevalue("upstream").heal()


@pytest.fixture(scope="module")
def orchard_settings() -> dict[str, str]:
    """Overridden by modules that need other settings."""
    return {}


@pytest.fixture(scope="module")
def with_postgres() -> bool:
    """Overridden by modules that stop or freeze the PostgreSQL of their Orchard."""
    return False


@pytest.fixture(scope="module")
def orchard(
    tmp_path_factory: pytest.TempPathFactory,
    upstream: Upstream,
    orchard_settings: dict[str, str],
    with_postgres: bool,
) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("orchard")
    with cluster(folder, upstream, with_postgres=with_postgres, **orchard_settings) as running:
        yield running


@pytest.fixture
def project() -> Callable[[], str]:
    """New project names: tests of one module share an Orchard, never a project."""
    return lambda: f"project-{next(_numbers)}"
