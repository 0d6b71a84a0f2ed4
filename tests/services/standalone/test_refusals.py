"""Every reason not to start is one line on standard error that names the variable."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from services.standalone.servers import free_port
from tests.services.standalone.harness import Standalone
from tests.support.stores import ROOT


def run(tmp_path: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("ORCHARD_")}
    environment = {
        **inherited,
        "ORCHARD_DATA_DIR": str(tmp_path / "data"),
        "ORCHARD_PORT": str(free_port()),
        "ORCHARD_PYPI_UPSTREAM": "http://index.invalid/simple/",
        **variables,
    }
    command = [sys.executable, "-m", "services.standalone", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30, check=False
    )


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]


def test_port_taken__refused_naming_the_variable(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = str(taken.getsockname()[1])
        assert_refused(run(tmp_path, ORCHARD_PORT=port), "ORCHARD_PORT", port, "already taken")


def test_second_gateways_port_taken__refused_naming_the_variable(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen(1)
        first = taken.getsockname()[1] - 1
        done = run(tmp_path, "--gateways", "2", ORCHARD_PORT=str(first))
        assert_refused(done, "ORCHARD_PORT", str(first + 1))


def test_host_not_of_this_machine__refused_naming_the_variable(tmp_path: Path) -> None:
    # An address of documentation (RFC 5737), so of no machine.
    done = run(tmp_path, ORCHARD_HOST="192.0.2.1", ORCHARD_ANONYMOUS_READ="true")
    assert_refused(done, "ORCHARD_HOST", "192.0.2.1")


def test_address_that_others_reach__nobody_said_who_may_read__refused(tmp_path: Path) -> None:
    assert_refused(run(tmp_path, ORCHARD_HOST="0.0.0.0"), "ORCHARD_ANONYMOUS_READ", "0.0.0.0")


# Root may write into a read-only folder, so only the other way is a refusal for root.
UNWRITABLE = ["below a regular file", *(["read-only"] if os.geteuid() != 0 else [])]


@pytest.mark.parametrize("kind", UNWRITABLE)
def test_data_folder_not_writable__refused_naming_the_variable(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "place" / "data"
    if kind == "read-only":
        path.mkdir(parents=True)
        path.chmod(0o500)
    else:
        path.parent.touch()
    assert_refused(run(tmp_path, ORCHARD_DATA_DIR=str(path)), "ORCHARD_DATA_DIR", str(path))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ORCHARD_PRT", "1", "did you mean ORCHARD_PORT?"),
        ("ORCHARD_PORT", "many", "'many'"),
        ("ORCHARD_PORT", "70000", "'70000'"),
        ("ORCHARD_PYPI_UPSTREAM", "ftp://user:hush@index.invalid/", "http://"),
    ],
)
def test_setting_unknown_or_bad__refused_naming_the_variable(
    tmp_path: Path, name: str, value: str, words: str
) -> None:
    done = run(tmp_path, **{name: value})
    assert_refused(done, name, words)
    assert "hush" not in done.stderr


def test_second_orchard_on_one_folder__refused_naming_the_first(tmp_path: Path) -> None:
    with Standalone(tmp_path / "data") as first:
        first.wait_until_ready()
        done = run(tmp_path)
        assert_refused(done, "ORCHARD_DATA_DIR", "in use", str(first.process.pid))
        assert first.gateway_answers()


def test_help__asked_for__shows_settings_and_ends_well(tmp_path: Path) -> None:
    done = run(tmp_path, "--help")
    assert done.returncode == 0
    assert "ORCHARD_PORT" in done.stdout
    assert not (tmp_path / "data").exists()


def test_count_of_zero__refused_by_the_option(tmp_path: Path) -> None:
    done = run(tmp_path, "--gateways", "0")
    assert done.returncode == 2
    assert "--gateways" in done.stderr
