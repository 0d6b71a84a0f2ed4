"""The clients that can be set up, by the name of their command.

How a client is set up stands in its protocol's folder (`clients.py`). That file is loaded by its path when it
is asked for: importing it by its name would import all protocols, and the libraries that they need.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

from services.cli.files import real
from services.cli.table import CLIENTS as PROTOCOL_OF
from shared.clientfiles.setup import CannotEdit, ClientSetup, Configure, FileEdit, Setup, Surroundings

_FOLDER = Path(__file__).parents[2] / "shared" / "protocols"
_LOADER: Any = globals()["__loader__"]  # of files, or of an archive (orchard.pyz)


@cache
def _module(protocol: str) -> Any:
    path = str(_FOLDER / protocol / "clients.py")
    spec = spec_from_loader(f"clients_of_{protocol}", loader=None)
    assert spec is not None
    module = module_from_spec(spec)
    exec(compile(_LOADER.get_data(path), path, "exec"), module.__dict__)  # noqa: S102 - our own file
    return module


def _of(client: str) -> Configure:
    def configure(setup: Setup) -> ClientSetup:
        made: ClientSetup = _module(PROTOCOL_OF[client]).CLIENTS[client](setup)
        return made

    return configure


def surroundings(protocol: str, setup: Setup) -> Surroundings:
    """For a command that runs clients of a protocol; `setup.folder` is a scratch folder, and their home."""
    make = getattr(_module(protocol), "surroundings", None)
    made: Surroundings = Surroundings({}) if make is None else make(setup)
    return made


CLIENTS: Mapping[str, Configure] = {client: _of(client) for client in PROTOCOL_OF}


def edits_of(client: str, setup: Setup, path: Path) -> list[FileEdit]:
    """What a client may have been given in this file: with a token and without."""
    found = []
    for token in (setup.token, not setup.token):
        try:
            files = CLIENTS[client](setup._replace(token=token)).files
        except CannotEdit:
            continue
        found += [each for each in files if real(each.path) == real(path)]
    return found
