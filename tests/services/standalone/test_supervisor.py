"""Starting, stopping, dying: real embedded stores, small programs in the services' places."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from services.standalone.child import FIRST_BACKOFF_SECONDS
from services.standalone.servers import free_port
from tests.services.standalone.harness import Standalone, command_line, wait_for
from tests.support.freezing import freeze

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc")


def test_start__bare_folder__starts_all_and_says_what_to_paste(tmp_path: Path) -> None:
    with Standalone(tmp_path / "its data") as orchard:
        orchard.wait_until_ready()
        text = orchard.text
        for name in (
            "postgres",
            "redis-cache",
            "redis-queue",
            "migrations",
            "fetcher",
            "extractor",
            "gateway",
        ):
            assert f"  {name} " in text
            assert (tmp_path / "its data" / "logs" / f"{name}.log").exists()
        index = f"http://127.0.0.1:{orchard.port}/pypi/simple/"
        assert f"export PIP_INDEX_URL={index}" in text
        assert f"export UV_DEFAULT_INDEX={index}" in text
        assert "http://index.invalid/simple/ [ORCHARD_PYPI_UPSTREAM]" in text
        assert orchard.gateway_answers()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_stop__by_signal__ends_in_order_and_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    with Standalone(tmp_path / "data") as orchard:
        orchard.wait_until_ready()
        assert len(orchard.pids()) >= 9  # three stores, three services, what these started, the watchdog
        orchard.process.send_signal(number)
        assert orchard.wait_until_over(seconds=10) == 0
        assert orchard.pids() == set()
        assert (tmp_path / "data" / "ends").read_text().split() == ["gateway", "worker", "worker"]


def test_stop__a_gateway_and_a_worker_hang__is_over_within_ten_seconds(tmp_path: Path) -> None:
    with Standalone(tmp_path / "data") as orchard:
        orchard.wait_until_ready()
        (tmp_path / "data" / "gateway-hangs").touch()
        (tmp_path / "data" / "worker-hangs").touch()
        began = time.monotonic()
        orchard.process.terminate()
        assert orchard.wait_until_over(seconds=15) == 0
        assert time.monotonic() - began < 10
        assert orchard.pids() == set()
        assert "gateway did not stop in time and is killed" in orchard.text


def test_stop__second_ctrl_c__waits_for_no_service(tmp_path: Path) -> None:
    with Standalone(tmp_path / "data") as orchard:
        orchard.wait_until_ready()
        (tmp_path / "data" / "gateway-hangs").touch()
        orchard.process.send_signal(signal.SIGINT)
        wait_for(lambda: "Stopping" in orchard.text, "the stop")
        began = time.monotonic()
        orchard.process.send_signal(signal.SIGINT)
        assert orchard.wait_until_over() == 0
        assert time.monotonic() - began < 4  # the gateway alone would have been given 4.5 s
        assert orchard.pids() == set()


def test_stop__while_starting__leaves_no_process(tmp_path: Path) -> None:
    with Standalone(tmp_path / "data") as orchard:
        wait_for(lambda: "redis-cache" in orchard.text, "the first stores")
        orchard.process.terminate()
        assert orchard.wait_until_over(seconds=10) == 0
        assert orchard.pids() == set()


def test_supervisor_killed__nothing_is_left_after_some_seconds(tmp_path: Path) -> None:
    with Standalone(tmp_path / "data") as orchard:
        orchard.wait_until_ready()
        (tmp_path / "data" / "gateway-hangs").touch()  # not even what ignores SIGTERM
        assert len(orchard.pids()) >= 9
        orchard.process.kill()
        wait_for(lambda: not orchard.pids(), "all processes to end", seconds=8)


def test_supervisor_and_watchdog_killed__nothing_is_left_but_what_services_detached(tmp_path: Path) -> None:
    with Standalone(tmp_path / "data") as orchard:
        orchard.wait_until_ready()
        detached = {pid for pid in orchard.pids() if "time.sleep(600)" in command_line(pid)}
        watchdog = orchard.pid_of("watchdog.py")
        freeze(watchdog)  # so that it cannot be replaced nor act
        orchard.process.kill()
        os.kill(watchdog, signal.SIGKILL)
        wait_for(lambda: orchard.pids() <= detached, "the direct children to end", seconds=8)


def test_watchdog_killed__is_replaced_and_still_guards(tmp_path: Path) -> None:
    with Standalone(tmp_path / "data") as orchard:
        orchard.wait_until_ready()
        first = orchard.pid_of("watchdog.py")
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: _other_watchdog(orchard, first), "another watchdog")
        time.sleep(0.3)  # it is executing; it need not have read its notes yet
        orchard.process.kill()
        wait_for(lambda: not orchard.pids(), "all processes to end", seconds=8)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_started_again__however_it_ended__has_its_data(tmp_path: Path, end: signal.Signals) -> None:
    log = tmp_path / "data" / "logs" / "migrations.log"
    with Standalone(tmp_path / "data") as first:
        first.wait_until_ready()
        assert "runs: 1" in log.read_text()
        first.process.send_signal(end)
        first.wait_until_over(seconds=10)
        # After SIGKILL this one finds the first one's processes still being cleared away.
        with Standalone(tmp_path / "data") as second:
            second.wait_until_ready()
            assert "runs: 2" in log.read_text()


@pytest.mark.parametrize(
    ("name", "words"),
    [("gateway", "fakes.gateway"), ("postgres", "bin/postgres -D"), ("redis-queue", "QUEUE_PORT")],
)
def test_child_killed__is_started_again_and_a_line_says_so(tmp_path: Path, name: str, words: str) -> None:
    with Standalone(tmp_path / "data") as orchard:
        orchard.wait_until_ready()
        if words == "QUEUE_PORT":
            words = f"127.0.0.1:{(tmp_path / 'data' / 'redis-queue' / 'port').read_text().strip()}"
        first = orchard.pid_of(words)
        count = len(orchard.pids())
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: f"{name} was killed by SIGKILL; starting it again" in orchard.text, "the line")

        def is_back() -> bool:  # a server says in its command line what it is only once it has started
            there = {pid for pid in orchard.pids() if words in command_line(pid)}
            return len(there) == 1 and first not in there and len(orchard.pids()) == count

        wait_for(is_back, "the restart", seconds=FIRST_BACKOFF_SECONDS + 10)
        wait_for(orchard.gateway_answers, "the gateway")
        orchard.process.terminate()
        assert orchard.wait_until_over(seconds=10) == 0
        assert orchard.pids() == set()


def test_gateways__two__listen_on_neighbouring_ports(tmp_path: Path) -> None:
    port = free_port()
    environment = {"ORCHARD_PORT": str(port)}
    with Standalone(
        tmp_path / "data", "--gateways", "2", "--fetchers", "2", environment=environment
    ) as orchard:
        orchard.wait_until_ready()
        for orchard.port in (port, port + 1):
            assert orchard.gateway_answers()
        assert "fetcher-2" in orchard.text


def test_migrations__fail__says_why_and_leaves_no_process(tmp_path: Path) -> None:
    environment = {"ORCHARD_DATABASE_URL": f"postgresql://u:secret@127.0.0.1:{free_port()}/x"}
    with Standalone(tmp_path / "data", environment=environment) as orchard:
        assert orchard.wait_until_over() == 1
        assert "Orchard cannot start: migrations ended with exit code" in orchard.text
        assert "secret" not in orchard.text
        assert orchard.pids() == set()


def test_existing_servers_given__nothing_of_that_kind_is_started(
    tmp_path: Path, store_settings: dict[str, str]
) -> None:
    environment = {**store_settings, "ORCHARD_DATA_DIR": str(tmp_path / "data")}
    with Standalone(tmp_path / "data", environment=environment) as orchard:
        orchard.wait_until_ready()
        assert not [path.name for path in (tmp_path / "data").iterdir() if "redis" in path.name]
        assert not (tmp_path / "data" / "postgres").exists()
        assert orchard.gateway_answers()


def _other_watchdog(orchard: Standalone, first: int) -> bool:
    return any("watchdog.py" in command_line(pid) for pid in orchard.pids() - {first})


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_start__streams_are_closed__starts_and_holds_its_lock(tmp_path: Path, closed: str) -> None:
    shell = ("/bin/sh", "-c", f'exec "$@" {closed}', "sh")
    with Standalone(tmp_path / "data", through=shell) as orchard:
        log = tmp_path / "data" / "logs" / "gateway.log"
        wait_for(lambda: log.exists() or orchard.process.poll() is not None, "the gateway")
        assert orchard.process.poll() is None
        with Standalone(tmp_path / "data") as second:
            assert second.wait_until_over() == 2
            assert "in use by another Orchard" in second.text
