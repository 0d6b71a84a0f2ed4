"""deploy/systemd: systemd has nothing to say against the unit, and what it sets is what Orchard knows."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from services.cli.parser import build_parser
from shared.settings import load_settings
from tests.support.stores import ROOT

FOLDER = ROOT / "deploy" / "systemd"
UNIT = (FOLDER / "orchard.service").read_text()
BACKUP = (FOLDER / "orchard-backup.service").read_text()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_unit__systemd_takes_every_line(tmp_path: Path) -> None:
    for unit, faulty in ((UNIT, False), (UNIT.replace("StateDirectory=", "StateDirektory="), True)):
        file = tmp_path / "orchard.service"
        file.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit, flags=re.MULTILINE))
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(file)], capture_output=True, text=True, timeout=60
        )
        about = [line for line in done.stderr.splitlines() if "orchard.service" in line]
        assert bool(about) == faulty, about


def test_unit__starts_a_command_that_there_is_with_settings_that_are_known() -> None:
    (words,) = re.findall(r"^ExecStart=\S+/orchard (.+)$", UNIT, re.MULTILINE)
    assert build_parser().parse_args(words.split()).run == "up:run"
    settings = load_settings(dict(re.findall(r"^Environment=(\w+)=(.*)$", UNIT, re.MULTILINE)))
    (folder,) = re.findall(r"^StateDirectory=(.+)$", UNIT, re.MULTILINE)
    assert settings.data_dir == f"/var/lib/{folder}"


def _value(unit: str, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.+)$", unit, re.MULTILINE)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_backup__systemd_takes_every_line_of_it_and_of_its_timer(tmp_path: Path) -> None:
    for faulty in (False, True):
        for name in ("orchard-backup.service", "orchard-backup.timer"):
            text = (
                (FOLDER / name).read_text().replace("OnCalendar=", "OnKalendar=" if faulty else "OnCalendar=")
            )
            (tmp_path / name).write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.M))
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(tmp_path / "orchard-backup.timer")],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert bool([line for line in done.stderr.splitlines() if "orchard-backup" in line]) == faulty, done


def test_backup__is_of_what_the_service_keeps__by_the_same_user_into_a_folder_it_may_write() -> None:
    (words,) = re.findall(r"^ExecStart=\S+/orchard (.+)$", BACKUP, re.MULTILINE)
    options = build_parser().parse_args(words.split())
    assert (options.run, options.keep) == ("backup:make", 30)
    for name in ("Environment", "EnvironmentFile", "UMask"):
        assert _value(BACKUP, name) == _value(UNIT, name) != []
    # A dynamic user has the name of its unit, unless User= gives another.
    assert _value(BACKUP, "User") == ["orchard"] and _value(UNIT, "User") == []
    (folders,) = _value(BACKUP, "StateDirectory")
    assert {f"/var/lib/{each}" for each in folders.split()} == {"/var/lib/orchard", options.folder}
