"""`orchard completion`: what a shell offers is what the parsers take."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from services.cli.commands.completion import candidates
from services.cli.parser import SHELLS, build_parser
from services.cli.table import CLIENTS, PROTOCOLS
from tests.services.cli.conftest import LAUNCH


def _after(*words: str) -> list[str]:
    return [word for word, _ in candidates(build_parser(), words)]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["statu"], ["status"]),
        (["client-config", ""], list(CLIENTS)),
        (["client-config", "--write", "yarn"], ["yarn", "yarn-1", "yarn-4"]),
        (["client-config", "pip", ""], []),
        (["resolve", "--protocol", ""], list(PROTOCOLS)),
        (["resolve", "--protocol", PROTOCOLS[0], ""], []),
        (["resolve", "--environ"], ["--environment"]),
        (["up", "--url", "", "--gate"], ["--gateways"]),
        (["pins", "l"], ["list"]),
        (["--json", "pins", "l"], ["list"]),
        (["nothing", "li"], []),
        (["help", "statu"], ["status"]),
        (["help", "pins", "l"], ["list"]),
        (["completion", ""], [*SHELLS, "words"]),
        (["ensure", ""], []),
    ],
)
def test_candidates(words: list[str], offered: list[str]) -> None:
    assert _after(*words) == offered


def test_candidates__each_command_is_offered_with_its_help() -> None:
    found = dict(candidates(build_parser(), [""]))
    assert len(found) > 15
    assert all(found.values())


_ASK = {
    "bash": """
source "$1"
COMP_WORDS=(orchard client-config --write yar); COMP_CWORD=3; _orchard
printf '%s\\n' "${COMPREPLY[@]}"
COMP_WORDS=(orchard pins ''); COMP_CWORD=2; _orchard
printf '%s\\n' "${COMPREPLY[@]}"
""",
    "fish": 'source $argv[1]; complete -C "orchard client-config --write yar"; complete -C "orchard pins "',
    "zsh": """
_describe() { print -l "${(@P)2}"; }
_files() { :; }
compdef() { :; }
source "$1"
words=(orchard client-config --write yar); CURRENT=4; _orchard
words=(orchard pins ''); CURRENT=3; _orchard
""",
}


@pytest.mark.parametrize("shell", SHELLS)
def test_script__in_the_shell_itself(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here: apt-get install {shell}")
    command = tmp_path / "orchard"
    command.write_text("#!/bin/sh\nexec " + " ".join(LAUNCH) + ' "$@"\n')
    command.chmod(0o755)
    script = tmp_path / "script"
    made = subprocess.run([command, "completion", shell], capture_output=True, text=True, check=True)
    script.write_text(made.stdout)
    (tmp_path / "ask").write_text(_ASK[shell])
    done = subprocess.run(
        [shell, str(tmp_path / "ask"), str(script)],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path), "TERM": "dumb"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    offered = [line.partition("\t")[0].partition(":")[0] for line in done.stdout.splitlines()]
    assert sorted(offered) == ["list", "remove", "set", "yarn", "yarn-1", "yarn-4"]
