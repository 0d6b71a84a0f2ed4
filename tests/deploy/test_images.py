"""The images' command lines, run as processes: one service each, read-only tree, unprivileged user.

No container engine is needed: what a Dockerfile copies, installs, sets and starts is read from the
Dockerfile itself; /app, /opt/venv and /data become folders of the test.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.deploy.dockerfile import Stage, read_dockerfile
from tests.support.builders import wheel_file
from tests.support.orchard import JSON, free_port
from tests.support.stores import ROOT
from tests.support.upstream import Upstream

SERVICES = ("gateway", "fetcher", "extractor")
UID = 10001
READY_SECONDS = 60.0


def _stages(service: str) -> tuple[Stage, Stage]:
    build, final = read_dockerfile(ROOT / "services" / service / "Dockerfile")
    return build, final


@pytest.mark.parametrize("service", SERVICES)
def test_dockerfile__final_stage__runs_as_a_number_without_tools(service: str) -> None:
    build, final = _stages(service)
    assert build.image == final.image == "${PYTHON_IMAGE}"
    assert final.one("USER") == f"{UID}:{UID}"
    assert final.one("STOPSIGNAL") == "SIGTERM"
    assert "pip uninstall" in " ".join(final.all("RUN"))
    assert all("--from=build" in line for line in final.all("COPY"))
    installing = next(line for line in build.all("RUN") if "pip install" in line)
    for option in ("--require-hashes", "--no-deps", "--only-binary=:all:"):
        assert option in installing
    assert "apt-get" not in " ".join(build.all("RUN") + final.all("RUN"))
    sources = [source for source, _ in build.copies()]
    assert sources == [
        f"services/{service}/requirements.txt",
        "shared",
        "services/__init__.py",
        f"services/{service}",
    ]


@dataclass(slots=True)
class Image:
    """What a build would have made, in a folder."""

    service: str
    root: Path
    stage: Stage

    def place(self, text: str) -> str:
        """A string of the image with its folders replaced by the test's."""
        for folder in ("/opt/venv", "/app", "/data"):
            text = text.replace(folder, f"{self.root}{folder}")
        return text

    def environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        return {name: self.place(value) for name, value in self.stage.environment.items()} | dict(settings)


def _build(service: str, root: Path) -> Image:
    build, final = _stages(service)
    for source, target in build.copies():
        place = root / target.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, place)
    uv = str(Path(sys.executable).parent / "uv")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_"))}
    venv = root / "opt" / "venv"
    _check([uv, "venv", "--quiet", "--python", sys.executable, str(venv)], env)
    _check(
        [uv, "pip", "install", "--quiet", "--require-hashes", "--no-deps", "--only-binary", ":all:",
         "--link-mode", "copy", "--python", str(venv / "bin" / "python"),
         "-r", str(root / "build" / "requirements.txt")],
        env,
    )  # fmt: skip
    _check([str(venv / "bin" / "python"), "-m", "compileall", "-q", str(root / "app")], env)
    _make_read_only(root)
    return Image(service, root, final)


def _check(command: list[str], env: Mapping[str, str]) -> None:
    done = subprocess.run(command, env=dict(env), capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr


def _make_read_only(root: Path) -> None:
    for path in [root, *root.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o222)


def _unprivileged() -> list[str]:
    """A prefix that takes root's rights away. In a user namespace of its own the process keeps access to
    what root owns (the interpreter may lie in root's home) and loses the right to override file modes."""
    if os.getuid() != 0:
        return []
    return ["unshare", "--user", f"--map-user={UID}", f"--map-group={UID}", "--"]


@dataclass(slots=True)
class Containers:
    """The processes of a test, as an engine would have started them."""

    folder: Path
    settings: dict[str, str]
    images: dict[str, Image]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    environments: dict[str, dict[str, str]] = field(default_factory=dict)

    def start(self, service: str, command: list[str] | None = None) -> None:
        image = self.images[service]
        env = image.environment(self.settings)
        port = "ORCHARD_PORT" if service == "gateway" else "ORCHARD_WORKER_PORT"
        env[port] = str(free_port())
        env["ORCHARD_WORKER_ADVERTISE"] = "127.0.0.1"  # an engine would give the container's address
        self.environments[service] = env
        with (self.folder / f"{service}.log").open("ab") as log:
            self.processes[service] = subprocess.Popen(
                [*_unprivileged(), *(command or image.stage.command)],
                cwd=image.place(image.stage.one("WORKDIR")),
                env=env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def run(self, service: str, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Another command in a service's image, to its end."""
        image = self.images[service]
        env = self.environments.get(service) or image.environment(self.settings)
        return subprocess.run(
            [*_unprivileged(), *command],
            cwd=image.place(image.stage.one("WORKDIR")),
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def url(self, service: str) -> str:
        env = self.environments[service]
        return "http://127.0.0.1:" + env["ORCHARD_PORT" if service == "gateway" else "ORCHARD_WORKER_PORT"]

    def wait_ready(self, service: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self.processes[service].poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                ready = httpx.get(f"{self.url(service)}/health/ready", timeout=2, trust_env=False)
                if ready.status_code == 200:
                    return
            time.sleep(0.1)
        raise AssertionError(f"{service} did not become ready:\n{self.log(service)[-4000:]}")

    def log(self, service: str) -> str:
        return (self.folder / f"{service}.log").read_text(errors="replace")

    def stop(self, service: str) -> int:
        process = self.processes.pop(service)
        process.terminate()
        try:
            return process.wait(20)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users can reach (pytest's own are closed to them), removable afterwards."""
    made = Path(tempfile.mkdtemp(prefix="orchard-images-"))
    made.chmod(0o755)
    yield made
    for path in [made, *made.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(made)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_command_lines_of_all_images__unprivileged_on_a_read_only_tree__serve_a_file_end_to_end(
    folder: Path, empty_database_url: str, store_settings: dict[str, str]
) -> None:
    data = folder / "data"
    data.mkdir(mode=0o755)
    images = {service: _build(service, folder / service) for service in SERVICES}
    with Upstream() as upstream:
        wheel = wheel_file("in-a-box", "1.0", requires=["other>=2"])
        upstream.add_project("in-a-box", {wheel.filename: wheel.content})
        settings = store_settings | {
            "ORCHARD_DATABASE_URL": empty_database_url,
            "ORCHARD_DATA_DIR": str(data),
            "ORCHARD_PYPI_UPSTREAM": f"{upstream.url}/simple/",
            "ORCHARD_ANONYMOUS_READ": "true",  # the image listens on every address
        }
        boxes = Containers(folder, settings, images)
        before = {service: _listing(images[service].root) for service in SERVICES}
        written = boxes.run("fetcher", ["sh", "-c", "id -u; echo x > app-written; echo x > shared/written"])
        assert written.stdout.split() == [str(UID) if os.getuid() == 0 else str(os.getuid())]
        assert written.returncode != 0, "the tree must not be writable"

        migrated = boxes.run("fetcher", ["python", "-m", "shared.migrations"])
        assert migrated.returncode == 0, migrated.stdout + migrated.stderr
        try:
            for service in SERVICES:
                boxes.start(service)
            for service in SERVICES:
                boxes.wait_ready(service)
                healthy = boxes.run(service, images[service].stage.health_command)
                assert healthy.returncode == 0, healthy.stderr
            page = httpx.get(
                f"{boxes.url('gateway')}/pypi/simple/in-a-box/",
                headers={"accept": JSON}, timeout=30, trust_env=False,
            )  # fmt: skip
            assert page.status_code == 200, page.text
            link = httpx.URL(f"{boxes.url('gateway')}/pypi/simple/in-a-box/").join(
                page.json()["files"][0]["url"]
            )
            first = httpx.get(link, timeout=30, trust_env=False)
            again = httpx.get(link, timeout=30, trust_env=False)
            assert first.content == again.content == wheel.content
            assert again.headers["x-cache"] == "HIT"
            _wait_for_metric(boxes, "extractor", 'state="extracted"')
        finally:
            codes = {service: boxes.stop(service) for service in list(boxes.processes)}
        assert codes == dict.fromkeys(SERVICES, 0), {name: boxes.log(name)[-2000:] for name in codes}
        assert {service: _listing(images[service].root) for service in SERVICES} == before
        unhealthy = boxes.run("gateway", images["gateway"].stage.health_command)
        assert unhealthy.returncode != 0, "a stopped gateway must not be healthy"


def _listing(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def _wait_for_metric(boxes: Containers, service: str, words: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        text = httpx.get(f"{boxes.url(service)}/metrics", timeout=5, trust_env=False).text
        if any("orchard_extractions_total{" in line and words in line for line in text.splitlines()):
            return
        time.sleep(0.2)
    raise AssertionError(f"{service} never counted {words}:\n{boxes.log(service)[-3000:]}")
