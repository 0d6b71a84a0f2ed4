"""`orchard build exec`: what a command inherits leads none of its clients past the build."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.cli.clients import surroundings
from services.cli.commands.build import surrounded
from services.cli.table import CLIENTS
from shared.clientfiles.setup import Setup

BASE = "http://127.0.0.1:8080/v/build-abc"


@pytest.mark.parametrize("protocol", sorted(set(CLIENTS.values())))
def test_surrounded__variables_that_name_other_places__are_gone_and_all_others_stay(
    protocol: str, tmp_path: Path
) -> None:
    made = surroundings(protocol, Setup(BASE, tmp_path, {"HOME": str(tmp_path)}))
    elsewhere = dict.fromkeys((*made.without, *made.variables), "http://elsewhere.example.com/")
    found = surrounded({**elsewhere, "EDITOR": "vi"}, BASE, tmp_path)
    assert found["EDITOR"] == "vi"
    assert not [name for name, value in found.items() if "elsewhere" in value]
    assert any(BASE in each for each in found.values())
