"""`orchard ensure`: everything an ensure file names, resolved, in the cache, and written down as a lock."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.cli.errors import CommandFailed, Differs, Exit, WrongUse, unfinished
from services.cli.files import check_place, read_input, write_whole
from services.cli.known_log import read_bytes
from services.cli.members import with_members
from services.cli.output import Output, counted, size
from services.cli.server import Server, connect
from services.cli.table import MEMBERS
from services.cli.waiting import Progress, run_to_end

LOCK_NAME = "orchard.lock.json"
MAX_BYTES = 16 * 1024 * 1024  # of a lock; the server bounds ensure files further
OFFERS = "ensure files"


def run(options: argparse.Namespace, output: Output) -> Exit:
    """Each file by itself, in order; the first that fails ends the command. Writes the lock (with --json:
    prints it) and the exports asked for; of an incomplete lock nothing, so that a good one stays."""
    files = options.files or ["orchard.ensure"]
    if len(files) > 1 and (options.lock or options.export):
        raise WrongUse("--lock and --export are for one file", "Run the command once for each.")
    for file in files:
        options.file = file
        _run(options, output)
    return Exit.DONE


def _run(options: argparse.Namespace, output: Output) -> None:
    text = read_input(options.file, "An ensure file or a lock", MAX_BYTES)
    kind = options.kind or Path(options.file).name
    if kind in MEMBERS and options.file != "-":
        text = with_members(Path(options.file), text, MEMBERS[kind], kind=kind)
    for path in _told_places(options):
        check_place(path)
    server = connect(options)
    again = f"`orchard ensure {options.file}` picks it up again."
    try:
        body = ensure(
            server,
            text,
            output,
            refresh=options.refresh,
            timeout_seconds=options.timeout,
            again=again,
            told={"kind": options.kind, "name": "" if options.file == "-" else Path(options.file).name},
        )
    except CommandFailed as error:
        if error.code == "ensure_invalid":  # "line 3, column 9: …", of which file this process knows
            error.message = f"{options.file}: {error.message}"
        raise
    lock = _lock_of(body)
    lock_path = _lock_path(options, lock)
    if options.check and lock.get("complete", True):
        _compare(lock_path or _default_lock(options, lock), body)
    complete = lock.get("complete", True)
    written = []
    if complete and not options.check:
        exports = _exports(server, str(lock.get("key", "")), options)
        files = ({lock_path: body} if lock_path is not None else {}) | exports
        for path in files:
            check_place(path)
        for path, data in files.items():
            write_whole(path, data)
            written.append(path)
    if options.json:
        output.write(body if body.endswith(b"\n") else body + b"\n")
    else:
        output.result(None, summary(lock, written))
    if not complete:
        raise _unfinished(lock)


def _unfinished(lock: dict[str, Any]) -> CommandFailed:
    missing = lock.get("missing", ())
    error = unfinished("the lock", missing, then="No file was written.")
    if missing and all(each.get("cause") and not each.get("passing") for each in missing):
        return Differs(error.message, error.hint)
    return error


def ensure(
    server: Server,
    text: bytes,
    output: Output,
    *,
    content_type: str = "application/toml",
    refresh: bool = False,
    timeout_seconds: float | None = None,
    again: str,
    told: Mapping[str, str] | None = None,
) -> bytes:
    """The lock of an ensure file, as the server wrote it, once all of it is in the cache. `told`: the kind or
    the name of a client's lock in its place.

    Raises the `CommandFailed` that fits, `Interrupted` on Ctrl-C.
    """
    with Progress(quiet=output.quiet, lines=not output.as_json) as progress:
        return run_to_end(
            server,
            "/api/v1/ensure",
            query={"refresh": "true" if refresh else "", **(told or {})},
            body=text,
            content_type=content_type,
            admin=refresh,
            offers=OFFERS,
            show=progress.show,
            timeout_seconds=timeout_seconds,
            again=again,
        )


def _folder(options: argparse.Namespace) -> Path:
    return Path() if options.file == "-" else Path(options.file).parent


def _default_lock(options: argparse.Namespace, lock: dict[str, Any]) -> Path:
    """Of an ensure file orchard.lock.json; several locks of clients lie in one folder."""
    of_lock = "pins" in lock.get("ensure", {}) and options.file != "-"
    return _folder(options) / (f"{Path(options.file).name}.{LOCK_NAME}" if of_lock else LOCK_NAME)


def _lock_path(options: argparse.Namespace, lock: dict[str, Any]) -> Path | None:
    if options.lock:
        return Path(options.lock)
    return None if options.json else _default_lock(options, lock)


def _lock_of(body: bytes) -> dict[str, Any]:
    try:
        lock = json.loads(body)
    except ValueError:
        lock = None
    if not isinstance(lock, dict) or "protocols" not in lock:
        raise CommandFailed("the server's answer is no lock", "`orchard status` shows its version.")
    return lock


def _compare(path: Path, body: bytes) -> None:
    try:
        kept = path.read_bytes()
    except FileNotFoundError:
        raise CommandFailed(
            f"there is no lock {path} to compare with", "Run it without --check first."
        ) from None
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror}") from None
    if kept == body:
        return
    changes = _changes(kept, body)
    raise CommandFailed(
        f"{path} is not the lock of this ensure file{changes}", "Without --check it is written anew."
    )


def _changes(kept: bytes, body: bytes) -> str:
    try:
        old, new = _purls(json.loads(kept)), _purls(json.loads(body))
    except (ValueError, AttributeError, TypeError):
        return ""
    lines = [f"\n  - {each}" for each in sorted(old - new)] + [f"\n  + {each}" for each in sorted(new - old)]
    return (
        ":" + "".join(lines[:20]) + (f"\n  … and {len(lines) - 20} more" if len(lines) > 20 else "")
        if lines
        else ""
    )


def _purls(lock: dict[str, Any]) -> set[str]:
    return {
        str(package.get("purl", ""))
        for protocol in lock.get("protocols", {}).values()
        for package in protocol.get("packages", [])
    }


def _export_folder(options: argparse.Namespace) -> Path:
    if options.export_dir:
        return Path(options.export_dir)
    return Path(options.lock).parent if options.lock else _folder(options)


def _told_places(options: argparse.Namespace) -> list[Path]:
    """What is to be written where the command says."""
    if options.check:
        return []
    exports = [_export_folder(options) / name for name in options.export]
    return [*([Path(options.lock)] if options.lock else []), *exports]


def _exports(server: Server, key: str, options: argparse.Namespace) -> dict[Path, bytes]:
    """The exports by where they go. Raises `WrongUse` rather than overwrite a file that differs."""
    folder, found = _export_folder(options), {}
    for name in dict.fromkeys(options.export):
        answer = server.request("GET", f"/api/v1/ensures/{key}/exports/{name}")
        server.check(answer, offers=f"the export {name}")
        path = folder / name
        check_place(path)
        if not options.force and path.exists() and read_bytes(path) != answer.body:
            raise WrongUse(
                f"{path} exists and differs; nothing was written",
                "--force overwrites it, --export-dir DIR writes elsewhere.",
            )
        found[path] = answer.body
    return found


def _is_lacking(package: dict[str, Any]) -> bool:
    """Whether its file should be in the cache, and the lock does not know it there."""
    return bool(package.get("filename")) and not package.get("sha256") and not package.get("inert")


def summary(lock: dict[str, Any], written: list[Path]) -> str:
    """How many packages and bytes of each protocol are in the cache, and what was written."""
    lines = []
    for name, protocol in lock["protocols"].items():
        packages = protocol.get("packages", [])
        total = sum(each.get("size_bytes") or 0 for each in packages)
        unknown = sum(1 for each in packages if _is_lacking(each))
        found = f"{len(packages) - unknown} of " if unknown else ""
        known = "known to be in" if unknown else "in"
        lines.append(f"{name}: {found}{counted(len(packages), 'package')} {known} the cache, {size(total)}")
    lines += [f"written: {path}" for path in written]
    return "\n".join(lines)
