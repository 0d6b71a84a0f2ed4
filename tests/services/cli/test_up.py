"""`orchard up`: a whole Orchard from any folder, which the other commands then find by themselves."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.services.cli.conftest import Command
from tests.support.orchard import free_port, wait_until


def test_up__from_any_folder__status_and_the_operators_commands_find_it_and_ctrl_c_ends_it(
    tmp_path: Path,
) -> None:
    command = Command(
        tmp_path,
        ORCHARD_PORT=str(free_port()),
        ORCHARD_DATA_DIR="mine",
        ORCHARD_OFFLINE="true",
        ORCHARD_TOKEN="",
    )
    with (tmp_path / "said").open("w") as said:
        process = command.start("up", "--extractors", "1", stdout=said, stderr=said)
    try:

        def is_up() -> bool:
            assert process.poll() is None, (tmp_path / "said").read_text()
            return command("status").returncode == 0

        wait_until(is_up, seconds=60, what="the start")
        assert (tmp_path / "mine" / "orchard.lock").exists()
        assert command("upstreams", "list").returncode == 0  # with the token of the data folder
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
    assert process.returncode == 0, (tmp_path / "said").read_text()
    assert command("status").returncode == 3
