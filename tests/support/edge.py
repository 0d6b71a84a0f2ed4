"""Caches in front of test gateways: Debian's Varnish with the configuration of deploy/edge."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.freezing import group, wait_until_frozen
from tests.support.orchard import wait_until
from tests.support.stores import ROOT

VARNISH = shutil.which("varnishd") or shutil.which("varnishd", path="/usr/sbin")
VMODS = Path("/usr/lib")
TOKEN = "an-edge-token-of-tests"

needs_varnish = pytest.mark.skipif(
    VARNISH is None or not any(VMODS.glob("*/varnish/vmods/libvmod_xkey.so")),
    reason="no varnish with xkey here: apt-get install varnish varnish-modules",
)


def configured(gateways: Sequence[int]) -> str:
    """deploy/edge/varnish.vcl with the addresses of its two gateways replaced, and nothing else."""
    text = (ROOT / "deploy" / "edge" / "varnish.vcl").read_text()
    for number, gateway in enumerate(gateways, 1):
        old = rf'"gateway-{number}"; \.port = "8080"'
        text, changed = re.subn(old, f'"127.0.0.1"; .port = "{gateway}"', text)
        assert changed == 1
    return text


class Varnish:
    """A running one, in a process group of its own."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.base = f"http://127.0.0.1:{port}"

    def signal(self, number: int) -> None:
        """Send a signal to all of its processes (SIGSTOP, SIGCONT)."""
        os.killpg(self.process.pid, number)
        if number == signal.SIGSTOP:
            wait_until_frozen(group(self.process.pid))


@contextlib.contextmanager
def varnish(folder: Path, port: int, gateways: Sequence[int]) -> Iterator[Varnish]:
    """Varnish on `port` while it passes requests on to two gateways on these ports."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "edge.vcl"
    path.write_text(configured(gateways))
    assert VARNISH is not None
    own = [VARNISH, "-F", "-j", "none", "-n", str(folder / "work"), "-f", str(path)]
    sizes = ["-s", "default,64m", "-p", "http_gzip_support=off", "-p", "thread_pools=1"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*own, *sizes, "-a", f"127.0.0.1:{port}"],
            env={**os.environ, "ORCHARD_EDGE_TOKEN": TOKEN},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_until(lambda: _listens(process, folder, port), seconds=30, what="Varnish's start")
        yield Varnish(process, port)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _listens(process: subprocess.Popen[bytes], folder: Path, port: int) -> bool:
    assert process.poll() is None, (folder / "log").read_text()
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
