"""pip (old and new) and uv install through Orchard, cold, warm, and with the upstream gone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.conftest import EXPECTED, Tools, installed, publish_tree
from tests.support.orchard import Cluster, cluster
from tests.support.upstream import Fault, Upstream

PIPS = ("pip-23.2", "pip-newest")
INSTALLERS = (*PIPS, "uv")


def _install(tools: Tools, tool: str, index: str, target: Path, *requirements: str) -> None:
    if tool == "uv":
        command = [*tools.command("uv"), "pip", "install", "--no-config", "--python", str(_python(tools))]
        command += ["--default-index", index, "--target", str(target), *requirements]
    else:
        command = [
            *tools.command(tool),
            "install",
            "--index-url",
            index,
            "--target",
            str(target),
            *requirements,
        ]
    done = tools.run(command)
    assert done.returncode == 0, done.stdout + done.stderr


def _python(tools: Tools) -> Path:
    return Path(tools.command("pip-newest")[0])


@pytest.mark.parametrize("tool", INSTALLERS)
def test_install__cold_then_warm__complete_tree(
    orchard: Cluster, tools: Tools, tool: str, tmp_path: Path
) -> None:
    index = orchard.url("/pypi/simple/")
    for round_name in ("cold", "warm"):
        tools.forget()
        target = tmp_path / round_name
        _install(tools, tool, index, target, "orchard-app[more]")
        assert installed(target) == EXPECTED


@pytest.mark.parametrize("tool", INSTALLERS)
def test_install__upstream_gone_and_client_cache_empty__same_tree(
    tmp_path_factory: pytest.TempPathFactory, tools: Tools, tool: str, tmp_path: Path
) -> None:
    folder = tmp_path_factory.mktemp("gone")
    with Upstream() as own:
        publish_tree(own)
        with cluster(folder, own, ORCHARD_CACHE_TTL_INDEX="1") as running:
            _install(tools, tool, running.url("/pypi/simple/"), tmp_path / "first", "orchard-app[more]")
            tools.forget()
            own.fault("*", Fault(reset=True, cut_at=0))
            _install(tools, tool, running.url("/pypi/simple/"), tmp_path / "second", "orchard-app[more]")
            assert installed(tmp_path / "second") == EXPECTED


@pytest.mark.parametrize("tool", PIPS)
def test_require_hashes__from_a_lock_made_elsewhere__installs(
    orchard: Cluster, upstream: Upstream, tools: Tools, tool: str, tmp_path: Path
) -> None:
    leaf = upstream._replies["/files/orchard-leaf/orchard_leaf-2.0-py3-none-any.whl"].body
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"orchard-leaf==2.0 --hash=sha256:{hashlib.sha256(leaf).hexdigest()}\n")
    command = [
        *tools.command(tool),
        "install",
        "--index-url",
        orchard.url("/pypi/simple/"),
        "--require-hashes",
    ]
    done = tools.run([*command, "--target", str(tmp_path / "out"), "-r", str(requirements)])
    assert done.returncode == 0, done.stderr
    assert installed(tmp_path / "out") == {"orchard_leaf-2.0"}


@pytest.mark.parametrize("tool", PIPS)
def test_download__source_archive__arrives(orchard: Cluster, tools: Tools, tool: str, tmp_path: Path) -> None:
    command = [*tools.command(tool), "download", "--index-url", orchard.url("/pypi/simple/"), "--no-deps"]
    done = tools.run([*command, "--no-build-isolation", "--dest", str(tmp_path / "out"), "orchard-source"])
    arrived = [each.name for each in (tmp_path / "out").glob("*")] if (tmp_path / "out").exists() else []
    assert "orchard_source-1.0.tar.gz" in arrived or "orchard_source-1.0.tar.gz" in done.stdout


@pytest.mark.parametrize("tool", INSTALLERS)
def test_unknown_package__client_says_so(orchard: Cluster, tools: Tools, tool: str, tmp_path: Path) -> None:
    with pytest.raises(
        AssertionError, match=r"(?i)no matching distribution|not found in the package registry"
    ):
        _install(tools, tool, orchard.url("/pypi/simple/"), tmp_path / "out", "orchard-no-such-thing")


@pytest.fixture
def flaky() -> Iterator[Upstream]:
    with Upstream() as own:
        publish_tree(own)
        yield own


@pytest.mark.slow
@pytest.mark.parametrize("tool", INSTALLERS)
def test_upstream_fails_for_a_moment__client_retries_and_succeeds(
    tmp_path_factory: pytest.TempPathFactory, flaky: Upstream, tools: Tools, tool: str, tmp_path: Path
) -> None:
    flaky.fault("/simple/orchard-leaf/", Fault(status=503), times=4)
    with cluster(tmp_path_factory.mktemp("flaky"), flaky) as running:
        _install(tools, tool, running.url("/pypi/simple/"), tmp_path / "out", "orchard-app[more]")
    assert installed(tmp_path / "out") == EXPECTED
