"""`orchard client-config`: what a client needs to use this Orchard, shown or written into its own file."""

from __future__ import annotations

import argparse
import os
from functools import cache
from pathlib import Path
from typing import Any

from services.cli.client_files import Change, Edits, apply, undo
from services.cli.clients import CLIENTS, edits_of
from services.cli.errors import CommandFailed, ServerUnreachable, WrongUse
from services.cli.output import Output
from services.cli.server import Server
from services.cli.target import Target, choose_target
from shared.clientfiles.setup import CannotEdit, ClientSetup, FileEdit, NotPossible, Setup


def run(options: argparse.Namespace, output: Output) -> None:
    """Shows, writes or undoes. The address alone matters; whether somebody answers there is only told."""
    try:
        _run(options, output)
    except NotPossible as error:
        raise WrongUse(error.message, error.hint) from None
    except CannotEdit as error:
        raise CommandFailed(error.message, error.hint) from None


def _run(options: argparse.Namespace, output: Output) -> None:
    if options.write and options.undo:
        raise WrongUse("--write and --undo exclude each other")
    if options.dry_run and not (options.write or options.undo):
        raise WrongUse("--dry-run goes with --write or --undo", "Without them nothing is changed anyway.")
    target = choose_target(options.url, os.environ)
    token = bool(os.environ.get("ORCHARD_TOKEN")) if options.token is None else options.token
    setup = Setup(target.base, Path.cwd(), os.environ, token, options.project)
    if token and setup.is_plain_and_remote:
        output.note("note: over plain http the token can be read on its way; better put TLS in front.")
    if not options.undo:
        _note_silence(output, target)
    configure = CLIENTS[options.tool]
    wanted = configure(setup)
    if options.undo:
        # Whether a token was wanted when it was written is not known now.
        both = [*wanted.files, *configure(setup._replace(token=not setup.token)).files]
        paths = list(dict.fromkeys(each.path for each in both))
        for dry_run in (True, options.dry_run):  # all of them or none
            changes = [undo(each, options.tool, _edits(setup, each), dry_run=dry_run) for each in paths]
        _report(options, output, changes, wanted)
    elif options.write:
        for dry_run in (True, options.dry_run):  # all of them or none
            changes = [
                apply(each, options.tool, _edits(setup, each.path), dry_run=dry_run) for each in wanted.files
            ]
        _report(options, output, changes, wanted)
    else:
        _show(options, output, wanted)


def _note_silence(output: Output, target: Target) -> None:
    """Say so if no Orchard answers at the address: a client would be set up for nobody."""
    if output.quiet or output.as_json:
        return
    asked = Server(target._replace(read_token="", admin_token="", file_token=""))
    try:
        status = asked.request("GET", "/health/live", timeout_seconds=3.0).status
    except ServerUnreachable as error:
        output.note(f"note: {error.message} now. --url or ORCHARD_URL names another address.")
        return
    if status != 200:
        output.note(f"note: what answers at {target.base} (status {status}) may be no Orchard.")


def _edits(setup: Setup, path: Path) -> Edits:
    """What clients may have been given in a file."""

    @cache
    def edits(base: str) -> dict[str, list[FileEdit]]:
        there = setup._replace(base=base) if base else setup
        return {each: edits_of(each, there, path) for each in CLIENTS}

    return edits


def _show(options: argparse.Namespace, output: Output, wanted: ClientSetup) -> None:
    parts = []
    for each in wanted.files:
        parts += [f"# {each.path}", each.snippet]
    if wanted.variables:
        parts += ["# in the shell's profile, or where the client is run", *wanted.variables, ""]
    value = {
        "tool": options.tool,
        "files": [{"path": str(each.path), "content": each.snippet} for each in wanted.files],
        **_rest(wanted),
    }
    output.result(value, "\n".join(parts))
    _notes(output, wanted)


def _report(options: argparse.Namespace, output: Output, changes: list[Change], wanted: ClientSetup) -> None:
    parts = []
    for each in changes:
        if not each.difference:
            parts.append(f"{each.path}: nothing to {'undo' if options.undo else 'change'}")
            continue
        parts.append(each.difference)
        if each.shared:
            goes = "would be undone" if options.dry_run else "is undone"
            parts.append(f"{', '.join(each.shared)} read the same lines: what they had {goes} as well")
        if each.backup is not None:
            parts.append(f"{'would keep' if options.dry_run else 'kept'} a copy: {each.backup}")
    if options.write:
        parts += [
            f"# in the shell's profile, or where the client is run\n{each}" for each in wanted.variables[:1]
        ]
        parts += wanted.variables[1:]
    value = {
        "tool": options.tool,
        "files": [
            {
                "path": str(each.path),
                "changed": bool(each.difference) and not options.dry_run,
                "difference": each.difference,
                "backup": str(each.backup) if each.backup else "",
                "shared_with": list(each.shared),
            }
            for each in changes
        ],
        **_rest(wanted),
    }
    output.result(value, "\n".join(parts))
    if options.write:
        _notes(output, wanted)


def _rest(wanted: ClientSetup) -> dict[str, Any]:
    return {"variables": list(wanted.variables), "notes": list(wanted.notes)}


def _notes(output: Output, wanted: ClientSetup) -> None:
    for note in wanted.notes:
        output.note(f"note: {note}")
