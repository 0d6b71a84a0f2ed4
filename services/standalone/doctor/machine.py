"""Checks of this machine: the data folder's disk, open files, certificates. Nothing is asked of anybody."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from services.standalone.doctor.findings import Finding, State
from services.standalone.kept_files import LOG_KEY
from shared.errors import ConfigurationError
from shared.http.trust import ca_context, trusted_by
from shared.process.disk import DiskFloor, in_words
from shared.protocols import PROTOCOLS
from shared.settings import Settings
from shared.tlog.signing import read_signer

LEAST_FILES = 448  # a gateway does not start below (docs/operations.md)
WANTED_FILES = 6400  # for all the connections that a gateway carries

CLIENTS = tuple(each.setup.certificates_variable for each in PROTOCOLS if each.setup.certificates_variable)


def machine_findings(settings: Settings) -> list[Finding]:
    """All of them."""
    return [
        *disk_findings(settings),
        files_finding(resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
        trust(settings),
        *key_findings(settings),
    ]


def disk_findings(settings: Settings) -> list[Finding]:
    """Whether the data folder can be written, and has room."""
    folder = Path(settings.data_dir)
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        cure = "give it to this user, or name another folder with ORCHARD_DATA_DIR"
        return [Finding("data folder", "failed", f"{there} cannot be written to by this user", cure)]
    disk = DiskFloor(folder, settings.min_free_bytes).look()
    room = f"{in_words(disk.free_bytes)} of {in_words(disk.total_bytes)} free at {folder}"
    if not disk.is_low:
        return [Finding("disk", "ok", room)]
    effect = "files are not stored" if disk.is_short else "the longest unused files are evicted"
    cure = "free some, give it more, or bound what is kept: ORCHARD_EVICT_BYTES, `orchard disk`"
    state: State = "failed" if disk.is_short else "warning"
    return [Finding("disk", state, f"{room}: {effect} below {in_words(disk.floor_bytes)}", cure)]


def files_finding(hard_limit: int) -> Finding:
    """Whether a gateway may open enough files."""
    if hard_limit == resource.RLIM_INFINITY or hard_limit >= WANTED_FILES:
        return Finding("open files", "ok", f"{hard_limit if hard_limit > 0 else 'any number'} allowed")
    cure = "raise the hard limit: `ulimit -Hn 65536`, LimitNOFILE=65536 of a systemd unit, or limits.conf"
    state: State = "failed" if hard_limit < LEAST_FILES else "warning"
    return Finding("open files", state, f"{hard_limit} allowed; a gateway wants {WANTED_FILES}", cure)


def trust(settings: Settings) -> Finding:
    """Which certificate authorities are believed."""
    told = trusted_by(settings.ca_file, os.environ, clients=CLIENTS)
    try:
        ca_context(settings.ca_file, os.environ, clients=CLIENTS)
    except ConfigurationError as error:
        return Finding(
            "certificates", "failed", error.message, "name a file of PEM certificates that can be read"
        )
    return Finding("certificates", "ok", f"trusted: {told}")


def key_findings(settings: Settings) -> list[Finding]:
    """Whether keys that lie in files can be read, and are keys; "" of those that are not set."""
    named = [("ORCHARD_SIGNING_KEYS", Path(each)) for each in settings.signing_keys]
    kept = Path(settings.data_dir) / LOG_KEY
    if settings.log_key_file:
        named.append(("ORCHARD_LOG_KEY_FILE", Path(settings.log_key_file)))
    elif kept.exists() and not settings.log_key:
        named.append(("log key", kept))
    found = []
    for name, path in named:
        why = _unreadable(path) or ("" if name == "ORCHARD_SIGNING_KEYS" else _no_log_key(settings, path))
        if why:
            cure = "give it to the user that Orchard runs as, and to nobody else; or name another file"
            found.append(Finding(name, "failed", f"{path}: {why}", cure))
    if named and not found:
        found.append(Finding("keys", "ok", f"can be read: {', '.join(str(path) for _, path in named)}"))
    return found


def _unreadable(path: Path) -> str:
    try:
        files = [each for each in path.iterdir() if each.is_file()] if path.is_dir() else [path]
        for each in files:
            with each.open("rb") as file:
                file.read(1)
    except OSError as error:
        return error.strerror or type(error).__name__
    return "" if files else "holds no file"


def _no_log_key(settings: Settings, path: Path) -> str:
    """Why this is no key of a transparency log. What is wrong with it is told, nothing of it."""
    if settings.log_signer:  # the public one: its signer has the other
        return ""
    try:
        read_signer(path.read_text().strip())
    except (ValueError, OSError) as error:
        return f"is no key of a transparency log: {error}"
    return ""
