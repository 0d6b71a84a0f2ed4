"""`orchard bundle`: a sealed build as one file; `orchard import`: into an Orchard without a network;
`orchard import-files`: what a folder or another cache has; `orchard imported`: what that was."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from services.cli.commands.build import build_id
from services.cli.errors import CommandFailed, Unfinished
from services.cli.files import check_place, writing
from services.cli.output import Output, counted
from services.cli.programs import become
from services.cli.server import Server, connect
from shared.bundles.form import Bodies, BundleRefused, contents_of, read_head

PATH = "/api/v1/bundles"
OFFERS = "bundles"
PATIENCE_SECONDS = 300.0  # while its head is made: proofs of thousands of files take a while


def run(options: argparse.Namespace, output: Output) -> None:
    """Writes the file whole or not at all: every digest is checked on the way. Raises `CommandFailed`."""
    path = Path(options.output)
    check_place(path)
    wanted: dict[str, Any] = {"build": build_id(options.build)}
    if options.since:
        wanted |= _since(Path(options.since))
    server, ends = connect(options), time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            told = _fetch(server, wanted, path)
            break
        except Unfinished as error:
            if time.monotonic() >= ends:
                raise
            output.note(error.message)
            time.sleep(1.0)
        except BundleRefused as error:
            raise CommandFailed(f"what came is not as it must be: {error}", "Run it again.") from None
    carried = f"{counted(told['objects'], 'object')}, {told['left_out']} left out"
    output.result(
        told,
        f"{path}: {carried}, {told['size_bytes']} bytes\nsigned by {told['key']}\n"
        f"orchard import {path} --trust {told['key']}",
    )


def _since(path: Path) -> dict[str, Any]:
    """What whoever has imported this bundle has."""
    try:
        with path.open("rb") as file:
            contents = contents_of(read_head(file.read).manifest)
    except BundleRefused as error:
        raise CommandFailed(f"{path}: {error}") from None
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}") from None
    return {"have": [each.key[-64:] for each in contents.objects], "since": contents.log_size}


def _fetch(server: Server, wanted: dict[str, Any], path: Path) -> dict[str, Any]:
    with server.stream(PATH, wanted) as (answer, read):
        server.check(answer, offers=OFFERS)
        with writing(path) as write:
            told = _copied(read, write)
    return {"file": str(path), **told}


def _copied(read: Callable[[int], bytes], write: Callable[[bytes], None]) -> dict[str, Any]:
    """From the server into a file, checked. Raises `BundleRefused`."""

    def copy(size: int) -> bytes:
        data = read(size)
        write(data)
        return data

    head = read_head(copy)
    objects = contents_of(head.manifest).objects
    bodies, left_out = Bodies(copy, head.size), 0
    for each in objects:
        chunks = bodies.next(each)
        left_out += chunks is None
        for _ in chunks or ():
            pass
    bodies.end()
    return {
        "size_bytes": bodies.at,
        "objects": len(objects) - left_out,
        "left_out": left_out,
        "key": str(head.key),
    }


def import_(options: argparse.Namespace, output: Output) -> NoReturn:
    """Does not return: becomes `python -m services.standalone.bundles`."""
    words = [str(Path(options.file).expanduser().absolute())]
    words += [f"--trust={each}" for each in options.trust]
    words += ["--json"] if output.as_json else []
    become("import", "services.standalone.bundles", words, options)


def import_files(options: argparse.Namespace, output: Output) -> NoReturn:
    """Does not return: becomes `python -m services.standalone.imports`."""
    words = [str(Path(options.folder).expanduser().absolute())]
    words += [f"--own={each}" for each in options.own]
    words += [name for name, asked in (("--yes", options.yes), ("--json", output.as_json)) if asked]
    become("import-files", "services.standalone.imports", words, options)


def imported(options: argparse.Namespace, output: Output) -> NoReturn:
    """Does not return: becomes `python -m services.standalone.imports.kept`."""
    asked = (("--forget", options.forget), ("--yes", options.yes), ("--json", output.as_json))
    words = [*([options.of] if options.of else []), *(name for name, said in asked if said)]
    become("imported", "services.standalone.imports.kept", words, options)
