"""The same rules with the real gateway, fetcher and extractor, and what these start themselves."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from pathlib import Path

import pytest

from services.standalone.servers import free_port
from tests.services.standalone.harness import Standalone, wait_for

REAL = "services.standalone"


def test_real_services__started_and_stopped__are_healthy_and_leave_no_process(tmp_path: Path) -> None:
    with Standalone(tmp_path / "data", module=REAL) as orchard:
        orchard.wait_until_ready()
        with urllib.request.urlopen(f"http://127.0.0.1:{orchard.port}/health", timeout=5) as answer:
            report = json.load(answer)
        assert report["database"]["status"] == "ok"
        assert report["redis_cache"]["status"] == "ok"
        assert report["redis_queue"]["status"] == "ok"
        began = time.monotonic()
        orchard.process.terminate()
        assert orchard.wait_until_over(seconds=15) == 0
        assert time.monotonic() - began < 10
        assert orchard.pids() == set()
        assert "is killed" not in orchard.text  # each ended by itself


def test_real_services__supervisor_killed__nothing_is_left(tmp_path: Path) -> None:
    with Standalone(tmp_path / "data", module=REAL) as orchard:
        orchard.wait_until_ready()
        assert orchard.pids()
        orchard.process.kill()
        wait_for(lambda: not orchard.pids(), "all processes to end", seconds=8)


@pytest.mark.parametrize("service", ["gateway", "fetcher", "extractor"])
def test_real_services__one_killed__is_back(tmp_path: Path, service: str) -> None:
    with Standalone(tmp_path / "data", module=REAL) as orchard:
        orchard.wait_until_ready()
        log = tmp_path / "data" / "logs" / f"{service}.log"
        starts = log.read_text().count(f"{service}_started")
        assert starts == 1
        os.kill(orchard.leader_of(f"services.{service}"), signal.SIGKILL)
        wait_for(lambda: f"{service} was killed by SIGKILL; starting it again" in orchard.text, "the line")
        wait_for(lambda: log.read_text().count(f"{service}_started") == 2, "the restart")
        wait_for(orchard.gateway_answers, "the gateway")


def test_real_services__two_gateways__both_answer(tmp_path: Path) -> None:
    port = free_port()
    environment = {"ORCHARD_PORT": str(port)}
    with Standalone(tmp_path / "data", "--gateways", "2", environment=environment, module=REAL) as orchard:
        orchard.wait_until_ready()
        for orchard.port in (port, port + 1):
            assert orchard.gateway_answers()
