"""Every process restarted in turn under load from real clients: no client's request fails.

The clients have empty caches and try nothing twice; only the proxy of deploy/compose stands before the
gateways, with what a load balancer does: a request that nobody answered is asked of the other gateway.
"""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.clients.conftest import Tools, installed
from tests.clients.node import command as node_command
from tests.clients.node import environment as node_environment
from tests.clients.node import installed as node_installed
from tests.clients.node import project as node_project
from tests.support.builders import build_wheel
from tests.support.npm_builders import publish
from tests.support.orchard import Cluster, Service, cluster, wait_until
from tests.support.proxy import needs_nginx, nginx
from tests.support.stores import ROOT
from tests.support.upstream import Upstream

PREVIOUS = "9d17cb9"  # the code from which this one is rolled out: the end of the round before
PROJECTS = 150  # cold ones for the whole time
SIZE = 300_000
RATE = 3_000_000  # bytes a second of each upstream body: downloads last long enough to be restarted under
JSON = "application/vnd.pypi.simple.v1+json"


class Load:
    """Clients that install one package after the other until told to stop. `failures` is what they said."""

    def __init__(self, base: str, folder: Path) -> None:
        self.base, self.folder = base, folder
        self.failures: list[str] = []
        self.done: dict[str, int] = {}
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(work,), name=work.__name__)
            for work in (self._pip, self._uv, self._npm, self._plain)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(120)

    def _repeat(self, work: Callable[[int], None]) -> None:
        for number in itertools.count():
            if self._stop.is_set():
                return
            try:
                work(number)
                self.done[work.__name__] = number + 1
            except Exception as error:
                self.failures.append(f"{time.time():.3f} {work.__name__} {number}: {error}")

    def _tools(self, name: str, number: int) -> Tools:
        folder = self.folder / f"{name}-{number}"
        folder.mkdir(parents=True)
        return Tools(folder)

    def _ran(self, tools: Tools, words: list[str], **more: object) -> None:
        done = tools.run(words, **more)  # type: ignore[arg-type]
        if done.returncode:
            raise AssertionError(done.stdout + done.stderr)

    def _pip(self, number: int) -> None:
        tools = self._tools("pip", number)
        target = tools.folder / "target"
        self._ran(tools, [
            *tools.command("pip-newest"), "install", "--no-cache-dir", "--retries", "0",
            "--target", str(target), "--index-url", f"{self.base}/pypi/simple/",
            f"rolled-{number % PROJECTS}",
        ])  # fmt: skip
        assert len(installed(target)) == 2
        shutil.rmtree(tools.folder)

    def _uv(self, number: int) -> None:
        tools = self._tools("uv", number)
        target = tools.folder / "target"
        self._ran(
            tools,
            [
                *tools.command("uv"), "pip", "install", "--no-config", "--no-cache", "--target", str(target),
                "--python", tools.command("pip-newest")[0], "--default-index", f"{self.base}/pypi/simple/",
                f"rolled-{(number + PROJECTS // 2) % PROJECTS}",
            ],
            env=tools.environment(UV_HTTP_RETRIES="0"),
        )  # fmt: skip
        assert len(installed(target)) == 2
        shutil.rmtree(tools.folder)

    def _npm(self, number: int) -> None:
        tools = self._tools("npm", number)
        folder = node_project(tools.folder / "demo", {f"rolled-{number % PROJECTS}": "1.0.0"})
        self._ran(
            tools,
            [*node_command("npm-11"), "install"],
            cwd=folder,
            env=node_environment(tools, f"{self.base}/npm/", npm_config_fetch_retries="0"),
        )
        assert len(node_installed(folder)) == 1
        shutil.rmtree(tools.folder)

    def _plain(self, number: int) -> None:
        """Connections kept open, as a mirror or a build tool does, and everything on them counted."""
        with httpx.Client(base_url=self.base, timeout=30, trust_env=False) as client:
            for each in range(20):
                project = f"rolled-{(number * 7 + each) % PROJECTS}"
                page = client.get(f"/pypi/simple/{project}/", headers={"Accept": JSON})
                assert page.status_code == 200, page.text
                address = page.url.join(page.json()["files"][0]["url"])
                file = client.get(address)
                assert file.status_code == 200, file.text
                assert len(file.content) == int(file.headers["content-length"])
                time.sleep(0.02)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        leaf = build_wheel("rolled-leaf", "1.0")
        server.add_project("rolled-leaf", {"rolled_leaf-1.0-py3-none-any.whl": leaf})
        for number in range(PROJECTS):
            wheel = build_wheel(f"rolled-{number}", "1.0", requires=["rolled-leaf"], size_bytes=SIZE)
            server.add_project(f"rolled-{number}", {f"rolled_{number}-1.0-py3-none-any.whl": wheel})
            publish(server, f"rolled-{number}", {"1.0.0": {}}, size_bytes=SIZE)
        server.bytes_per_second = RATE
        yield server


def _restart(orchard: Cluster, service: Service) -> Service:
    """SIGTERM, its end, and the same again on the same port."""
    assert service.stop() == 0, f"{service.name} did not end well:\n{service.log.read_text()[-3000:]}"
    return orchard.start(service.name, port=service.port)


def _serves(orchard: Cluster, gateway: Service) -> bool:
    return orchard.metric(gateway, "orchard_http_requests_total") > 3


def _roll(orchard: Cluster, base: str, folder: Path) -> Load:
    with Load(base, folder) as load:
        wait_until(lambda: len(load.done) == 4 or load.failures, seconds=60, what="all clients at work")
        for gateway in orchard.all_of("gateway"):
            again = _restart(orchard, gateway)
            wait_until(lambda again=again: _serves(orchard, again), what="the proxy asks it again")
        for worker in [*orchard.all_of("fetcher"), *orchard.all_of("extractor")]:
            _restart(orchard, worker)
        before = dict(load.done)
        wait_until(
            lambda: load.failures or all(load.done[name] > count for name, count in before.items()),
            seconds=60,
            what="all clients go on",
        )
    return load


def _shown(orchard: Cluster, load: Load) -> str:
    return "\n".join([f"done: {load.done}", *load.failures[:5], orchard.logs()[-3000:]])


@needs_nginx
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_rolling_restart__under_load_from_real_clients__no_request_fails(
    tmp_path: Path, upstream: Upstream
) -> None:
    with (
        cluster(tmp_path / "orchard", upstream, gateways=2, fetchers=2) as orchard,
        nginx(tmp_path / "nginx", [each.port for each in orchard.all_of("gateway")]) as base,
    ):
        load = _roll(orchard, base, tmp_path / "clients")
        assert load.failures == [], _shown(orchard, load)
        print(f"done without a failure: {load.done}")


@needs_nginx
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_rolling_update__from_the_code_before__no_request_fails(tmp_path: Path, upstream: Upstream) -> None:
    old = _previous_tree(tmp_path / "previous")
    with (
        cluster(tmp_path / "orchard", upstream, gateways=2, fetchers=2, tree=old) as orchard,
        nginx(tmp_path / "nginx", [each.port for each in orchard.all_of("gateway")]) as base,
    ):
        orchard.tree = ROOT  # what is started from here on
        load = _roll(orchard, base, tmp_path / "clients")
        assert load.failures == [], _shown(orchard, load)
        print(f"done without a failure: {load.done}")
        assert "a job of an unknown kind" not in orchard.logs(), "jobs of the code before are understood"


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_beside_the_code_before__each_makes_for_the_other_what_both_give_out(
    tmp_path: Path, upstream: Upstream
) -> None:
    """A page, a file and a resolution: asked of a gateway of one version, made by workers of the other."""
    with cluster(tmp_path / "orchard", upstream, tree=_previous_tree(tmp_path / "previous")) as orchard:
        before = orchard.gateway
        orchard.tree = ROOT
        now = orchard.start("gateway")
        _same_of_both(now, before, "rolled-1")
        for worker in [*orchard.all_of("fetcher"), *orchard.all_of("extractor")]:
            _restart(orchard, worker)
        _same_of_both(before, now, "rolled-2")
        assert "a job of an unknown kind" not in orchard.logs()


def _same_of_both(asked: Service, other: Service, project: str) -> None:
    made = _answers(asked, project)
    assert _answers(other, project) == made
    assert [node["name"] for node in json.loads(made[2])["nodes"]] == [project, "rolled-leaf"]


def _answers(gateway: Service, project: str) -> list[bytes]:
    with httpx.Client(base_url=gateway.base, timeout=30, trust_env=False) as client:
        page = client.get(f"/pypi/simple/{project}/", headers={"Accept": JSON})
        file = client.get(page.url.join(page.json()["files"][0]["url"]))
        wanted = {"requirements": [project]}
        wait_until(
            lambda: client.post("/api/v1/resolve", json=wanted).status_code != 202, seconds=30, what="a graph"
        )
        graph = client.post("/api/v1/resolve", json=wanted)
        answers = [page, file, graph]
    assert [each.status_code for each in answers] == [200, 200, 200], graph.text
    return [each.content for each in answers]


def _previous_tree(folder: Path) -> Path:
    """The code before, out of this repository's history. Skips where there is none."""
    folder.mkdir(parents=True)
    archive = folder.with_suffix(".tar")
    command = ["git", "archive", f"--output={archive}", PREVIOUS, "shared", "services"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True)
    if done.returncode:
        pytest.skip(f"no {PREVIOUS} in the history here (a shallow clone?): nothing to roll out from")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder
