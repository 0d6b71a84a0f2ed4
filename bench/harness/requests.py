"""Requests of the resolution benchmarks, and an extractor that knows nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
import urllib.request
from typing import Any

from bench.harness.orchard import Orchard

START_SECONDS = 3.0  # of an extractor, until it has connected


def ask(url: str, body: bytes | None = None) -> dict[str, Any]:
    """GET, or POST of a JSON body; the JSON answer."""
    headers = {"content-type": "application/json"} if body else {}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as reply:
        return json.load(reply)  # type: ignore[no-any-return]


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
