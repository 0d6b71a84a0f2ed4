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

UNIT = (ROOT / "deploy" / "systemd" / "orchard.service").read_text()


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
