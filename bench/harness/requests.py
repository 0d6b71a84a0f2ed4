"""Requests of the resolution benchmarks, CPU time of services, and an extractor that knows nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
import urllib.request
from pathlib import Path
from typing import Any

from bench.harness.orchard import Orchard

START_SECONDS = 3.0  # of an extractor, until it has connected


def ask(url: str, body: bytes | None = None) -> dict[str, Any]:
    """GET, or POST of a JSON body; the JSON answer."""
    headers = {"content-type": "application/json"} if body else {}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as reply:
        return json.load(reply)  # type: ignore[no-any-return]


def cpu_seconds(ours: Orchard, service: str) -> float:
    """CPU time that a service's processes have taken so far (proc(5), fields 14 and 15)."""
    ticks = 0
    for pid in ours.pids(service):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def restart_extractor(ours: Orchard) -> None:
    """End it by pid; the supervisor starts another, whose memory is empty."""
    before = set(ours.pids("extractor"))
    for pid in before:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + 30
    while not set(ours.pids("extractor")) - before and time.monotonic() < until:
        time.sleep(0.1)
    time.sleep(START_SECONDS)
