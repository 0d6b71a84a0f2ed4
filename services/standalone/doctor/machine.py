"""Checks of this machine: the data folder's disk, open files, certificates. Nothing is asked of anybody."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from services.standalone.doctor.findings import Finding, State
from shared.errors import ConfigurationError
from shared.http.trust import ca_context, trusted_by
from shared.process.disk import DiskFloor, in_words
from shared.protocols import PROTOCOLS
from shared.settings import Settings

LEAST_FILES = 448  # a gateway does not start below (docs/operations.md)
WANTED_FILES = 6400  # for all the connections that a gateway carries

CLIENTS = tuple(each.setup.certificates_variable for each in PROTOCOLS if each.setup.certificates_variable)


def machine_findings(settings: Settings) -> list[Finding]:
    """All of them."""
    return [
        *disk_findings(settings),
        files_finding(resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
        trust(settings),
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
