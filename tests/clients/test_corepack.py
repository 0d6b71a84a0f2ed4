"""corepack fetches package managers through Orchard, whichever way the registry's address is written."""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.conftest import Tools, forget_breakers
from tests.clients.node import command
from tests.services.cli.conftest import Command
from tests.support.npm_builders import build_packument, put_packument, tarball_path
from tests.support.orchard import Cluster, cluster
from tests.support.stores import ROOT
from tests.support.upstream import Fault, Upstream

ADMIN = "operators-token-of-tests"


def publish_package_manager(server: Upstream) -> None:
    """A pnpm whose command says its version, as corepack runs it."""
    about = {"name": "pnpm", "version": "10.20.0", "bin": {"pnpm": "bin/pnpm.cjs", "pnpx": "bin/pnpx.cjs"}}
    files = {
        "package/package.json": json.dumps(about),
        "package/bin/pnpm.cjs": "console.log('orchard pnpm 10.20.0');",
        "package/bin/pnpx.cjs": "",
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, text in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    data = gzip.compress(packed.getvalue(), mtime=0)
    server.put(tarball_path("pnpm", "10.20.0"), data)
    put_packument(server, build_packument(server.url, "pnpm", {"10.20.0": data}))


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        publish_package_manager(server)
        yield server


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    settings = {"ORCHARD_ADMIN_TOKEN": ADMIN, "ORCHARD_CACHE_TTL_INDEX": "1"}
    folder = tmp_path_factory.mktemp("orchard")
    with cluster(folder, upstream, gateways=0, extractors=0, **settings) as running:
        running.start("gateway", ORCHARD_ANONYMOUS_READ="false")
        running.start("gateway", ORCHARD_ANONYMOUS_READ="true")
        yield running


def _run(tools: Tools, folder: Path, **settings: str) -> str:
    """What pnpm says of its version, fetched by corepack with nothing kept from before; else an error."""
    folder.mkdir(exist_ok=True)
    (folder / "package.json").write_text('{"name": "demo"}')
    env = tools.environment(
        COREPACK_HOME=str(folder / "home"),
        COREPACK_INTEGRITY_KEYS="0",  # of the public registry, whose signature this package lacks
        COREPACK_ENABLE_DOWNLOAD_PROMPT="0",
        **settings,
    )
    done = tools.run([*command("corepack-0"), "pnpm@10.20.0", "--version"], cwd=folder, env=env)
    return done.stdout if done.returncode == 0 else f"failed: {done.stdout}{done.stderr}"


@pytest.mark.parametrize("slash", ["", "/"])
def test_corepack__cold_then_warm_then_upstream_gone__runs_the_package_manager(
    orchard: Cluster, upstream: Upstream, tools: Tools, slash: str, tmp_path: Path
) -> None:
    base = orchard.all_of("gateway")[1].base
    (line,) = re.findall(r"export (COREPACK_NPM_REGISTRY=[^`]+)/`", (ROOT / "README.md").read_text())
    name, _, address = line.replace("http://127.0.0.1:8080", base).partition("=")
    for round_name in ("cold", "warm", "gone"):
        said = _run(tools, tmp_path / round_name, **{name: address + slash})
        assert said.strip() == "orchard pnpm 10.20.0", round_name
        if round_name == "warm":
            assert upstream.count(tarball_path("pnpm", "10.20.0")) == 1
            upstream.fault("*", Fault(reset=True, cut_at=0))
    upstream.heal()
    forget_breakers(orchard)


def test_client_config__variables_with_a_token__corepack_reads_them(
    orchard: Cluster, tools: Tools, tmp_path: Path
) -> None:
    closed = orchard.all_of("gateway")[0].base
    orchard_command = Command(tmp_path, ORCHARD_URL=closed, HOME=str(tmp_path))
    token = orchard_command.json("tokens", "create", "ci", ORCHARD_ADMIN_TOKEN=ADMIN)["token"]
    lines = orchard_command.json("client-config", "corepack", ORCHARD_TOKEN=token)["variables"]
    pairs = [each.removeprefix("export ").partition("=") for each in lines]
    settings = {name: value.replace('"$ORCHARD_TOKEN"', token) for name, _, value in pairs}
    assert settings.keys() == {"COREPACK_NPM_REGISTRY", "COREPACK_NPM_TOKEN"}
    assert _run(tools, tmp_path / "with", **settings).strip() == "orchard pnpm 10.20.0"
    del settings["COREPACK_NPM_TOKEN"]
    assert "401" in _run(tools, tmp_path / "without", **settings)


def test_client_config__file_of_the_project__corepack_reads_it(
    orchard: Cluster, tools: Tools, tmp_path: Path
) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    orchard_command = Command(folder, ORCHARD_URL=orchard.all_of("gateway")[1].base)
    (written,) = orchard_command.json("client-config", "corepack", "--project", "--write")["files"]
    assert Path(written["path"]).name == ".corepack.env"
    assert _run(tools, folder).strip() == "orchard pnpm 10.20.0"
