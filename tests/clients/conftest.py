"""Real clients against one Orchard in front of a scripted upstream with a small dependency tree."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.builders import build_sdist, build_wheel
from tests.support.client_environments import CLIENTS, with_home
from tests.support.orchard import Cluster, cluster
from tests.support.upstream import Upstream


class Tools:
    """The client commands and how to run them without this machine's own settings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def command(tool: str) -> list[str]:
        """The command line of a client; pip as a module of its own environment."""
        home = CLIENTS / tool / "bin"
        if not home.exists():
            pytest.fail(f"{tool} is not installed: run 'make client-tools'")
        return [str(home / "python"), "-m", "pip"] if tool.startswith("pip-") else [str(home / tool)]

    def environment(self, **extra: str) -> dict[str, str]:
        """Only what a client needs; an empty home, so that no cache or configuration is inherited."""
        env = with_home(self.folder / "home")
        return {**env, "POETRY_VIRTUALENVS_IN_PROJECT": "true", **extra}

    def forget(self) -> None:
        """Empty every client cache."""
        shutil.rmtree(self.folder / "home", ignore_errors=True)

    def run(
        self, command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a client; the result holds what it said."""
        return subprocess.run(
            list(command),
            cwd=cwd or self.folder,
            env=dict(env or self.environment()),
            capture_output=True,
            text=True,
            timeout=110,
        )


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    return Tools(tmp_path)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        publish_tree(server)
        yield server


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("orchard"), upstream) as running:
        yield running


def publish_tree(server: Upstream) -> None:
    """orchard-app needs two libraries, one by an extra; two versions of each; one source archive.

    uv and pip refuse files without an upload time when told to exclude newer ones, so it is there.
    """
    tree: dict[str, dict[str, bytes]] = {
        "orchard-app": {
            "orchard_app-1.0-py3-none-any.whl": build_wheel(
                "orchard-app",
                "1.0",
                requires=["orchard-lib>=1.0", 'orchard-extra; extra == "more"'],
                extras=["more"],
            ),
        },
        "orchard-lib": {
            "orchard_lib-1.0-py3-none-any.whl": build_wheel("orchard-lib", "1.0"),
            "orchard_lib-1.1-py3-none-any.whl": build_wheel("orchard-lib", "1.1", requires=["orchard-leaf"]),
        },
        "orchard-leaf": {
            "orchard_leaf-2.0-py3-none-any.whl": build_wheel("orchard-leaf", "2.0", size_bytes=500_000)
        },
        "orchard-extra": {"orchard_extra-0.1-py3-none-any.whl": build_wheel("orchard-extra", "0.1")},
        "orchard-source": {"orchard_source-1.0.tar.gz": build_sdist("orchard-source", "1.0")},
    }
    for project, files in tree.items():
        server.add_project(project, files)


EXPECTED = {"orchard_app-1.0", "orchard_lib-1.1", "orchard_leaf-2.0", "orchard_extra-0.1"}


def installed(target: Path) -> set[str]:
    """The distributions in a folder, as name-version."""
    return {each.name.removesuffix(".dist-info") for each in target.glob("*.dist-info")}


def forget_breakers(orchard: Cluster) -> None:
    """A failing source is left alone for a while; the next test wants it asked."""
    with orchard.client(orchard.cache) as client:
        for key in client.scan_iter(match="orchard:upstream_sources:*:breaker:*"):
            client.delete(key)
