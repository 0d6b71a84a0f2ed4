"""S3 servers for the benchmark, a stand-in that is not the limit among them; nginx in front of one."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from bench.harness import nginx, peers, processes

ACCESS_KEY, SECRET_KEY, BUCKET = "bench", "bench-secret", "orchard"
MINIO = Path(__file__).resolve().parents[2] / ".cache" / "minio" / "minio"


@contextlib.contextmanager
def stand_in(work: Path) -> Iterator[str]:
    """The endpoint of plain nginx with PUT and DELETE; signatures are not looked at."""
    config = nginx.store_config(work, port=(port := processes.free_port()))
    with processes.running(
        [peers._nginx(), "-c", str(config), "-p", str(work)],
        log=work / "out.log",
        core=processes.CLIENT_CORE,
    ) as process:
        processes.wait_http(f"http://127.0.0.1:{port}/", process)
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def proxy(work: Path, endpoint: str, *, cached: bool = False) -> Iterator[tuple[str, int]]:
    """Address and pid of nginx with proxy_pass to `endpoint`; `cached`: with proxy_cache."""
    port = processes.free_port()
    target = urllib.parse.urlsplit(endpoint).netloc
    config = nginx.proxy_config(work, port=port, target=target, cached=cached)
    command = [peers._nginx(), "-c", str(config), "-p", str(work)]
    with processes.running(command, log=work / "out.log") as process:
        processes.wait_http(f"http://127.0.0.1:{port}/", process)
        yield f"http://127.0.0.1:{port}", process.pid


@contextlib.contextmanager
def seaweedfs(work: Path) -> Iterator[str]:
    """The endpoint of a SeaweedFS; "" where its program is not installed."""
    weed = Path(sys.executable).parent / "weed"
    if not weed.exists():
        yield ""
        return
    (work / "data").mkdir(parents=True)
    names = (
        "master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port",
        "filer.port.grpc", "s3.port.grpc", "admin.port", "admin.port.grpc",
    )  # fmt: skip
    port = processes.free_port()
    command = [
        str(weed), "-logtostderr", "mini", f"-dir={work / 'data'}", f"-s3.port={port}",
        "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", "-webdav=false",
        "-admin.ui=false", "-s3.port.lance=0", "-s3.port.iceberg=0",
        *(f"-{name}={processes.free_port()}" for name in names),
    ]  # fmt: skip
    env = {**os.environ, "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    with processes.running(command, log=work / "out.log", core=processes.CLIENT_CORE, env=env) as process:
        processes.wait_http(f"http://127.0.0.1:{port}/healthz", process)
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def minio(work: Path) -> Iterator[str]:
    """The endpoint of a MinIO; "" where nobody has built its program (scripts/minio.sh)."""
    program = str(MINIO) if MINIO.exists() else shutil.which("minio")
    if program is None:
        yield ""
        return
    work.mkdir(parents=True)
    port, console = processes.free_port(), processes.free_port()
    command = [
        program, "server", str(work / "data"), "--quiet", "--address", f"127.0.0.1:{port}",
        "--console-address", f"127.0.0.1:{console}",
    ]  # fmt: skip
    env = {
        **os.environ, "MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": SECRET_KEY,
        "MINIO_UPDATE": "off", "MINIO_BROWSER": "off", "HOME": str(work),
    }  # fmt: skip
    with processes.running(command, log=work / "out.log", core=processes.CLIENT_CORE, env=env) as process:
        processes.wait_http(f"http://127.0.0.1:{port}/minio/health/live", process)
        yield f"http://127.0.0.1:{port}"
