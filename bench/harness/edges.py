"""The caches of deploy/edge in front of an Orchard, each on one core."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.harness import peers, processes

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "edge"
PARAMETERS = ["-p", "http_gzip_support=off", "-p", "vsl_mask=-ReqHeader,-RespHeader,-ObjHeader,-VCL_call"]
TOKEN = "an-edge-token-of-benchmarks"


@contextlib.contextmanager
def varnish(work: Path, port: int, gateway: int) -> Iterator[str]:
    """Varnish on `port`, which must be known to the gateway."""
    found = shutil.which("varnishd") or shutil.which("varnishd", path="/usr/sbin")
    if found is None:
        raise SystemExit("make bench ARGS=edge needs Debian's packages varnish and varnish-modules")
    work.mkdir(parents=True, exist_ok=True)
    text = (FOLDER / "varnish.vcl").read_text()
    text = re.sub(r'"gateway-\d"; \.port = "8080"', f'"127.0.0.1"; .port = "{gateway}"', text)
    (work / "edge.vcl").write_text(text)
    command = [found, "-F", "-j", "none", "-n", str(work / "n"), "-f", str(work / "edge.vcl")]
    command += ["-s", "default,1g", "-a", f"127.0.0.1:{port}", *PARAMETERS]
    env = {**os.environ, "ORCHARD_EDGE_TOKEN": TOKEN}
    with processes.running(command, log=work / "out.log", env=env) as process:
        processes.wait_http(f"http://127.0.0.1:{port}/health/live", process)
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def nginx(work: Path, gateway: int) -> Iterator[str]:
    """nginx, which keeps for half a second."""
    work.mkdir(parents=True, exist_ok=True)
    port = processes.free_port()
    text = (FOLDER / "nginx.conf").read_text().replace("/tmp/", f"{work}/")
    text = text.replace("worker_processes auto;", "worker_processes 1;")
    text = text.replace("listen 8080;", f"listen 127.0.0.1:{port} backlog=4096;")
    text = re.sub(r"server gateway-\d:8080", f"server 127.0.0.1:{gateway}", text)
    (work / "nginx.conf").write_text(text)
    user = "user root;" if os.geteuid() == 0 else ""
    command = [peers._nginx(), "-p", str(work), "-c", str(work / "nginx.conf"), "-g", f"daemon off; {user}"]
    with processes.running(command, log=work / "out.log") as process:
        processes.wait_http(f"http://127.0.0.1:{port}/health/live", process)
        yield f"http://127.0.0.1:{port}"
