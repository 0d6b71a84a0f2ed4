"""The proxy of deploy/compose in front of test gateways: Debian's nginx with that very configuration."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.gateway import free_port
from tests.support.orchard import wait_until
from tests.support.stores import ROOT

NGINX = shutil.which("nginx") or (shutil.which("nginx", path="/usr/sbin"))
CONFIGURATION = ROOT / "deploy" / "compose" / "nginx.conf"

needs_nginx = pytest.mark.skipif(NGINX is None, reason="no nginx here: apt-get install nginx-light")


def configured(folder: Path, port: int, gateways: Sequence[int], configuration: Path = CONFIGURATION) -> str:
    """The configuration with its two gateways, its port and its folders replaced, and nothing else."""
    text = configuration.read_text()
    for number, gateway in enumerate(gateways, 1):
        text, changed = re.subn(rf"\bgateway-{number}:8080\b", f"127.0.0.1:{gateway}", text)
        assert changed == 1
    text, changed = re.subn(r"\blisten 8080;", f"listen 127.0.0.1:{port};", text)
    assert changed == 1
    return text.replace("/tmp/", f"{folder}/").replace("worker_processes auto;", "worker_processes 1;")


@contextlib.contextmanager
def nginx(folder: Path, gateways: Sequence[int], configuration: Path = CONFIGURATION) -> Iterator[str]:
    """Its address, while it passes requests on to gateways on these ports."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    path = folder / "nginx.conf"
    path.write_text(configured(folder, port, gateways, configuration))
    assert NGINX is not None
    with (folder / "nginx.log").open("wb") as log:
        process = subprocess.Popen(
            [NGINX, "-e", "stderr", "-p", str(folder), "-c", str(path), "-g", "daemon off; user root;"]
            if is_root()
            else [NGINX, "-e", "stderr", "-p", str(folder), "-c", str(path), "-g", "daemon off;"],
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: listens(port) or process.poll() is not None, what="nginx listens")
        assert process.poll() is None, (folder / "nginx.log").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def is_root() -> bool:
    import os

    return os.getuid() == 0  # its workers would else be nobody's, and not reach the test's folder


def listens(port: int) -> bool:
    import socket

    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
