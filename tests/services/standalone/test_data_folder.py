"""The data folder is locked while in use, and its logs stay bounded."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.standalone.data_folder import DataFolder
from shared.errors import ConfigurationError


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[DataFolder]:
    opened = DataFolder(tmp_path / "data")
    opened.open()
    yield opened
    opened.close()


def test_open__locked_by_a_living_process__refused_at_once(folder: DataFolder) -> None:
    with pytest.raises(ConfigurationError, match=rf"^ORCHARD_DATA_DIR: .* in use .*{os.getpid()}"):
        DataFolder(folder.path).open()


def test_open__closed_before__succeeds(folder: DataFolder) -> None:
    folder.close()
    again = DataFolder(folder.path)
    again.open()
    again.close()


def test_open__owner_died_and_its_watchdog_still_clears_up__waits_for_it(folder: DataFolder) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (folder.path / "orchard.lock").write_text(f"{gone.pid}\n")
    # The watchdog shares the lock; it ends when its standard input does.
    with subprocess.Popen(
        [sys.executable, "-c", "import sys, time; sys.stdin.read(); time.sleep(0.5)"],
        stdin=subprocess.PIPE,
        pass_fds=(folder.lock_fd,),
    ) as watchdog:
        folder.close()
        assert watchdog.stdin is not None
        watchdog.stdin.close()
        again = DataFolder(folder.path)
        again.open()
        assert watchdog.poll() == 0 or watchdog.wait(1) == 0
        again.close()


def test_trim_logs__one_over_its_limit__is_put_aside_and_goes_on_in_place(
    folder: DataFolder,
) -> None:
    large, small = folder.log("gateway"), folder.log("fetcher")
    small.write_text("short\n")
    with large.open("a") as writer:
        writer.write("x" * 200)
        writer.flush()
        folder.trim_logs(100, 1)
        writer.write("next\n")
    assert large.read_text() == "next\n"
    assert large.with_name("gateway.log.1").read_text() == "x" * 200
    assert small.read_text() == "short\n"


def test_trim_logs__several_predecessors__the_oldest_goes(folder: DataFolder) -> None:
    log = folder.log("gateway")
    for number in range(4):
        log.write_text(f"{number}" * 200)
        folder.trim_logs(100, 2)
    assert [log.with_name(f"gateway.log.{number}").read_text()[0] for number in (1, 2)] == ["3", "2"]
    assert not log.with_name("gateway.log.3").exists() and log.read_text() == ""
    log.write_text("x" * 200)
    folder.trim_logs(100, 0)
    assert log.read_text() == ""


def test_open__folder_that_others_could_read__closed_and_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "data"
    (path / "objects").mkdir(parents=True)
    for each in (path, path / "objects"):
        each.chmod(0o755)
    for expected in (1, 0):
        opened = DataFolder(path)
        opened.open()
        opened.close()
        assert capsys.readouterr().err.count("others could read") == expected
        modes = [each.stat().st_mode & 0o777 for each in (path, path / "objects", path / "orchard.lock")]
        assert modes == [0o700, 0o700, 0o600]


def test_open__new_folder__its_objects_are_made_closed_to_others(tmp_path: Path) -> None:
    opened = DataFolder(tmp_path / "data")
    opened.open()
    opened.close()
    assert (opened.path / "objects").stat().st_mode & 0o777 == 0o700


def test_open__folder_that_everybody_shares__keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "shared"
    path.mkdir()
    path.chmod(0o1777)
    opened = DataFolder(path)
    opened.open()
    opened.close()
    assert path.stat().st_mode & 0o7777 == 0o1777
    assert (path / "logs").stat().st_mode & 0o777 == 0o700
