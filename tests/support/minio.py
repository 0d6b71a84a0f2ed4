"""A real MinIO for the object store's suite, where somebody has its program.

MinIO's repository is archived and it ships no binaries any more. The Go module proxy refuses its tagged
releases (403), but has its last commit: scripts/minio.sh builds that into .cache/minio, from where it is
taken, or from the PATH.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from shared.objects.s3.config import S3Config
from tests.support.orchard import free_port
from tests.support.stores import ROOT

USER = "orchard-test"
PASSWORD = "orchard-test-secret"  # of a server on loopback that lives as long as the tests
BUILD = "scripts/minio.sh"


class Minio:
    """A started server."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"

    def config(self, prefix: str) -> S3Config:
        """For `S3ObjectStore`."""
        return S3Config(
            endpoint=self.endpoint,
            bucket="orchard-tests",
            access_key=USER,
            secret_key=PASSWORD,
            prefix=prefix,
            create_bucket=True,
        )


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Minio]:
    built = ROOT / ".cache" / "minio" / "minio"
    program = str(built) if built.exists() else shutil.which("minio")
    if program is None:
        pytest.skip(f"MinIO is left out: there is no .cache/minio/minio here; to build it: {BUILD}")
    folder: Path = tmp_path_factory.mktemp("minio")
    port, console = free_port(), free_port()
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [
                program, "server", str(folder / "data"), "--quiet",
                "--address", f"127.0.0.1:{port}", "--console-address", f"127.0.0.1:{console}",
            ],
            env={
                **os.environ, "MINIO_ROOT_USER": USER, "MINIO_ROOT_PASSWORD": PASSWORD,
                "MINIO_UPDATE": "off", "MINIO_BROWSER": "off", "HOME": str(folder),
            },
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    server = Minio(port)
    try:
        _wait_live(server, process, folder / "server.log")
        yield server
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_live(server: Minio, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(httpx.HTTPError):
            if httpx.get(f"{server.endpoint}/minio/health/live", timeout=1, trust_env=False).is_success:
                return
        time.sleep(0.05)
    raise AssertionError(f"MinIO did not start: {log.read_text()[-2000:]}")
