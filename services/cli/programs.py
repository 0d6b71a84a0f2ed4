"""Programs of the server that the command becomes, or asks: they need the server's packages, and no Orchard
that runs."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from importlib.util import find_spec
from typing import NoReturn

from services.cli.errors import CommandFailed, WrongUse
from services.cli.target import ROOT, data_folder

# For the command alone: what the services do not need they are not given.
_OF_THE_COMMAND = ("ORCHARD_URL", "ORCHARD_TOKEN")
DISTRIBUTION = "orchard-proxy"


def become(command: str, module: str, words: list[str], options: argparse.Namespace) -> NoReturn:
    """This process becomes `python -m MODULE WORDS`, with the environment of the server. Raises
    `CommandFailed` where there is none."""
    if options.url:
        raise WrongUse(
            f"{command}: --url has no meaning here",
            "It acts on this machine's Orchard: ORCHARD_DATA_DIR, ORCHARD_HOST and ORCHARD_PORT say which.",
        )
    check_installed("granian" if command == "up" else "asyncpg")
    chosen = environment(os.environ)
    os.chdir(ROOT)
    os.execve(sys.executable, [sys.executable, "-m", module, *words], chosen)  # noqa: S606 - no shell is wanted


def check_installed(package: str = "asyncpg") -> None:
    """Raises `CommandFailed` where the server's part is not, or lacks a `package`: images have what their
    service needs, which is enough for all but a whole Orchard."""
    if not (ROOT / "services" / "standalone").is_dir():
        raise CommandFailed(
            "this is the command alone, without a server",
            "Install the wheel of `make wheel` with its extra [server]: docs/deployment.md says how.",
        )
    if find_spec(package) is None:
        raise CommandFailed("the server's packages are not installed here", how_to_install())


def told_by(module: str, words: list[str], data: bytes) -> bytes:
    """What `python -m MODULE WORDS` writes, given `data`. Raises `CommandFailed` where there is none, and
    `WrongUse` with what it says where it fails."""
    check_installed()
    line, chosen = [sys.executable, "-m", module, *words], environment(os.environ)
    done = subprocess.run(line, input=data, capture_output=True, cwd=ROOT, env=chosen)  # noqa: S603 - no shell
    if done.returncode:
        raise WrongUse(done.stderr.decode("utf-8", "replace").strip().removeprefix("orchard: "))
    return done.stdout


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The supervisor's: a relative ORCHARD_DATA_DIR is meant from where the command was called."""
    kept = {name: value for name, value in environ.items() if name not in _OF_THE_COMMAND}
    # First, before a stranger's `shared` or `services`; `-m` alone looks into the working directory, and
    # not even there with PYTHONSAFEPATH.
    path = os.pathsep.join(filter(None, [str(ROOT), environ.get("PYTHONPATH", "")]))
    return kept | {"ORCHARD_DATA_DIR": str(data_folder(environ)), "PYTHONPATH": path}


def how_to_install() -> str:
    """The line that brings the extra, from where this came."""
    try:
        told = metadata.distribution(DISTRIBUTION).read_text("direct_url.json") or "{}"
        url = str(json.loads(told).get("url", ""))
    except metadata.PackageNotFoundError:  # a checkout
        return "Start it with `make run`, which installs them."
    wanted = f"'{DISTRIBUTION}[server]{f' @ {url}' if url else ''}'"
    return f"pip install {wanted}   or   uvx --from {wanted} orchard up"
