"""A whole Orchard of real processes for integration tests: stores, services, and a way to kill each.

`cluster(folder, upstream)` starts stores of its own, one gateway, one fetcher and one extractor as
containers would run them (`python -m services.X`), in front of a scripted upstream.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import redis

from services.standalone.postgres import EmbeddedPostgres
from services.standalone.redis_server import EmbeddedRedis
from tests.support import warm
from tests.support.freezing import group, wait_until_frozen
from tests.support.stores import ROOT, address_of, lent_database, own_postgres, own_redis
from tests.support.trust import of_tests
from tests.support.upstream import Upstream
from tests.support.warm import Forked

JSON = "application/vnd.pypi.simple.v1+json"
SECRET_KEY = "dGVzdHMgb25seSwgdGVzdHMgb25seSwgdGVzdHMgISE="  # of no use anywhere else
FOR_MIGRATIONS = (
    "ORCHARD_DATABASE_URL",
    "ORCHARD_MINIMUM_AGE",
    "ORCHARD_NOTHING_AFTER",
    "ORCHARD_STORED_STAY",
    "ORCHARD_OSV_FEEDS",
    "ORCHARD_OSV_SEVERITY",
    "ORCHARD_TRUST",
)
START_SECONDS = 90.0
STOP_SECONDS = 12.0


class Service:
    """One service process, in a process group of its own."""

    def __init__(self, name: str, env: Mapping[str, str], log: Path, tree: Path = ROOT) -> None:
        self.name = name
        self.log = log
        self.port = int(env["ORCHARD_PORT" if name == "gateway" else "ORCHARD_WORKER_PORT"])
        self.process: subprocess.Popen[bytes] | Forked
        if tree == ROOT:
            self.process = warm.start(f"services.{name}", env=env, log=log)
            return
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"services.{name}"],
                cwd=tree,
                env=dict(env),
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_ready(self) -> None:
        """Return when /health/ready says 200; raise with the log's end otherwise."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.base}/health/ready", timeout=2, trust_env=False).status_code == 200:
                    return
            time.sleep(0.05)
        raise AssertionError(f"{self.name} did not become ready:\n{self.log.read_text()[-4000:]}")

    def signal(self, number: int) -> None:
        """Send a signal to the whole group (SIGSTOP, SIGCONT, SIGKILL)."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
            if number == signal.SIGSTOP:
                wait_until_frozen(group(self.process.pid))

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self.signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM to the main process, as Kubernetes does; SIGKILL when it overstays. Exit code."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        self.signal(signal.SIGKILL)
        return self.process.wait()


class Cluster:
    """Running services and their stores."""

    def __init__(
        self,
        folder: Path,
        upstream: Upstream,
        database_url: str,
        postgres: EmbeddedPostgres | None,
        cache: EmbeddedRedis,
        queue: EmbeddedRedis,
        settings: Mapping[str, str],
        tree: Path,
    ) -> None:
        self.tree = tree
        self.folder, self.upstream = folder, upstream
        self.database_url, self._postgres = database_url, postgres
        self.cache, self.queue = cache, queue
        self.settings = dict(settings)
        self.services: list[Service] = []

    def environment(self) -> dict[str, str]:
        """The environment of every service."""
        cache, queue = address_of(self.cache), address_of(self.queue)
        env = {name: value for name, value in os.environ.items() if not name.startswith("ORCHARD_")}
        env |= {
            "ORCHARD_DATABASE_URL": self.database_url,
            "ORCHARD_REDIS_HOST": cache.host,
            "ORCHARD_REDIS_PORT": str(cache.port),
            "ORCHARD_REDIS_PASSWORD": cache.password,
            "ORCHARD_QUEUE_REDIS_HOST": queue.host,
            "ORCHARD_QUEUE_REDIS_PORT": str(queue.port),
            "ORCHARD_QUEUE_REDIS_PASSWORD": queue.password,
            "ORCHARD_DATA_DIR": str(self.folder / "data"),
            "ORCHARD_SECRET_KEY": SECRET_KEY,
            "ORCHARD_PYPI_UPSTREAM": f"{self.upstream.url}/simple/",
            "ORCHARD_NPM_UPSTREAM": f"{self.upstream.url}/npm/",
            "ORCHARD_MAVEN_UPSTREAM": f"{self.upstream.url}/maven/",
            "ORCHARD_CARGO_UPSTREAM": f"{self.upstream.url}/cargo/",
        }
        return env | self.settings

    def start(self, name: str, *, wait: bool = True, port: int = 0, **settings: str) -> Service:
        """Start one more service process; extra settings as ORCHARD_* names."""
        env = self.environment() | settings
        if self.tree != ROOT:  # other code refuses settings that it does not know
            env = {key: env[key] for key in env if key[:8] != "ORCHARD_" or self._knows(key[8:].lower())}
        env["ORCHARD_PORT" if name == "gateway" else "ORCHARD_WORKER_PORT"] = str(port or free_port())
        env = of_tests(env)
        service = Service(name, env, self.folder / f"{name}-{len(self.services)}.log", self.tree)
        self.services.append(service)
        if wait:
            service.wait_ready()
        return service

    def _knows(self, field: str) -> bool:
        """Whether the other tree has a setting, in its own name or as one of a protocol's."""
        text = (self.tree / "shared" / "settings.py").read_text()
        name, _, kind = field.partition("_")
        spoken = kind and (self.tree / "shared" / "protocols" / name).is_dir()
        return f" {field}: " in text or bool(spoken and f" {kind}s: " in text)

    @property
    def postgres(self) -> EmbeddedPostgres:
        """Its own server, to be stopped and frozen."""
        assert self._postgres is not None, "an Orchard with `own_postgres` has one"
        return self._postgres

    def migrate(self) -> None:
        """Bring the database to the newest schema, as an operator does."""
        # This tree's migrations need the database alone, and may not know what another tree's settings are.
        known = self.environment()
        env = {key: known[key] for key in known if key[:8] != "ORCHARD_" or key.startswith(FOR_MIGRATIONS)}
        done = subprocess.run(
            [sys.executable, "-m", "shared.migrations"], cwd=ROOT, env=env, capture_output=True
        )
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()

    def all_of(self, name: str) -> list[Service]:
        """The live processes of one service."""
        return [each for each in self.services if each.name == name and each.process.poll() is None]

    @property
    def gateway(self) -> Service:
        return self.all_of("gateway")[0]

    @property
    def fetcher(self) -> Service:
        return self.all_of("fetcher")[0]

    @staticmethod
    def client(server: EmbeddedRedis) -> redis.Redis:
        """A plain client of one of the two Redis servers; close it (it is a context manager)."""
        where = address_of(server)
        return redis.Redis(host=where.host, port=where.port, password=where.password)

    def url(self, path: str) -> str:
        """An address at the first gateway."""
        return self.gateway.base + path

    def get(self, path: str, **options: Any) -> httpx.Response:
        """GET at the first gateway (redirects not followed)."""
        return httpx.get(self.url(path), timeout=options.pop("timeout", 30), trust_env=False, **options)

    def page(self, project: str, **headers: str) -> dict[str, Any]:
        """A project page as JSON; asserts 200."""
        answer = self.get(f"/pypi/simple/{project}/", headers={"Accept": JSON, **headers})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def file_path(self, project: str, filename: str) -> str:
        """The path of a file as the page links it."""
        entry = next(each for each in self.page(project)["files"] if each["filename"] == filename)
        return str(httpx.URL(self.url(f"/pypi/simple/{project}/")).join(entry["url"]).path)

    def metric(self, service: Service, name: str) -> float:
        """The sum of a metric's samples over all labels."""
        text = httpx.get(f"{service.base}/metrics", timeout=10, trust_env=False).text
        assert f"# TYPE {name.removesuffix('_total')}" in text, f"{service.name} has no metric {name}"
        lines = [line for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def logs(self) -> str:
        """Everything all services have said."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))

    def close(self) -> None:
        """Stop what runs: gateways first, then workers."""
        for service in sorted(self.services, key=lambda each: each.name != "gateway"):
            service.signal(signal.SIGCONT)
            service.stop()


@contextlib.contextmanager
def cluster(
    folder: Path,
    upstream: Upstream,
    *,
    gateways: int = 1,
    fetchers: int = 1,
    extractors: int = 1,
    tree: Path = ROOT,
    with_postgres: bool = False,
    **settings: str,
) -> Iterator[Cluster]:
    """Stores and services on `folder` for the length of the block; `tree` holds the code that runs. The
    database is one of the process's server, unless a server of its own is asked for."""
    with contextlib.ExitStack() as stack:
        postgres = None
        if with_postgres:
            postgres = stack.enter_context(own_postgres(folder / "postgres", max_connections=300))
        database_url = postgres.url("postgres") if postgres else stack.enter_context(lent_database())
        cache = stack.enter_context(own_redis(folder / "cache", "cache"))
        queue = stack.enter_context(own_redis(folder / "queue", "queue"))
        running = Cluster(folder, upstream, database_url, postgres, cache, queue, settings, tree)
        if postgres or any(name.startswith(FOR_MIGRATIONS) for name in settings):
            running.migrate()
        try:
            names = ["fetcher"] * fetchers + ["extractor"] * extractors + ["gateway"] * gateways
            started = [running.start(name, wait=False) for name in names]
            for service in started:
                service.wait_ready()
            yield running
        finally:
            running.close()


def statuses(orchard: Cluster, path: str) -> list[int]:
    """What each gateway answers."""
    return [
        httpx.get(each.base + path, headers={"accept": JSON}, timeout=30, trust_env=False).status_code
        for each in orchard.all_of("gateway")
    ]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Any, *, seconds: float = 30.0, what: str = "the condition") -> None:
    """Poll until `condition()` is true; fail naming `what` otherwise. An answer that is broken off, as when
    a rule changes while it is sent, makes nothing true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.ReadError, httpx.RemoteProtocolError):
            if condition():
                return
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come true within {seconds} s")


def problem(answer: httpx.Response) -> dict[str, Any]:
    """The document of an error answer; of cargo's form, with `detail` where all others have it."""
    told = dict(json.loads(answer.text))
    return {"detail": told["errors"][0]["detail"], **told} if "errors" in told else told
