"""A PostgreSQL data folder that Orchard owns: what in it can be recreated is repaired before a start.

Rows are never removed, and what cannot be repaired is reported in one line. Settings, access rules, the
password, version files, empty folders and pid files are recreated.
"""

from __future__ import annotations

import os
from collections import Counter
from hashlib import sha256
from pathlib import Path

from services.standalone.kept_files import put_aside, put_aside_unless_file, read_kept
from services.standalone.servers import StoreFailed

_MARK = "orchard-password"  # hash of the password that this very cluster was given
_CONFIGURATION = ("postgresql.conf", "postgresql.auto.conf")

# Copies often leave empty folders out; PostgreSQL does not make them anew.
_FOLDERS = (
    "pg_commit_ts", "pg_dynshmem", "pg_logical/mappings", "pg_logical/snapshots", "pg_notify",
    "pg_replslot", "pg_serial", "pg_snapshots", "pg_stat", "pg_stat_tmp", "pg_tblspc", "pg_twophase",
    "pg_wal/archive_status", "pg_wal/summaries",
)  # fmt: skip


def holds_cluster(data: Path) -> bool:
    """Whether there is a database. Raises `StoreFailed` for a folder that holds anything else."""
    if data.is_dir():
        if not any(data.iterdir()):
            return False
        if (data / "global" / "pg_control").is_file():
            return True
    elif not data.exists():
        return False
    raise StoreFailed(
        f"{data} holds no database that can be read (global/pg_control is missing); restore it "
        "from a backup, or move it away to begin with an empty database"
    )


def mend_cluster(data: Path) -> list[Path]:
    """Repair version files and missing folders; returns what was written, for its owner to be set."""
    made = []
    for name in ("postmaster.opts", *_CONFIGURATION, "pg_hba.conf", "pg_ident.conf"):
        put_aside_unless_file(data / name)
    for folder in (data / name for name in _FOLDERS):
        if not folder.is_dir():
            if folder.exists():
                put_aside(folder, "is not a folder")
            for each in (folder.parent, folder):
                if not each.exists():
                    each.mkdir(mode=0o700)
                    made.append(each)
    base = data / "base"
    folders = [data, *(each for each in base.iterdir() if each.name.isdigit())] if base.is_dir() else [data]
    versions = {each / "PG_VERSION": read_kept(each / "PG_VERSION") for each in folders}
    common = Counter(text for text in versions.values() if text.isdigit())
    known = common.most_common(1)[0][0] if common else ""
    for path, text in versions.items():
        if text != known:
            if os.path.lexists(path):
                put_aside(path, "is damaged")
            path.write_text(f"{known}\n")
            path.chmod(0o600)
            made.append(path)
    return made


def reset_configuration(data: Path) -> list[Path]:
    """Write the default settings; returns what was written."""
    made = []
    for path in (data / name for name in _CONFIGURATION):
        if path.exists():
            put_aside(path, "cannot be read by PostgreSQL")
        path.touch(mode=0o600)
        made.append(path)
    return made


def has_password(data: Path, password: str) -> bool:
    """Whether the cluster is known to have this one."""
    return read_kept(data / _MARK) == _hash(password)


def note_password(data: Path, password: str) -> Path:
    """Store its hash in the cluster itself, so that both are copied and restored together."""
    path = data / _MARK
    put_aside_unless_file(path)
    path.write_text(_hash(password) + "\n")
    path.chmod(0o600)
    return path


def clear_pid_file(path: Path) -> int:
    """The pid in a `postmaster.pid`; 0 if there is none, and then the file is gone too."""
    put_aside_unless_file(path)
    try:
        pid = int(path.read_bytes().split(b"\n", 1)[0])
    except FileNotFoundError:
        return 0
    except (OSError, ValueError):
        pid = 0
    if pid <= 0:
        path.unlink(missing_ok=True)
    return max(pid, 0)


def is_gone(pid: int) -> bool:
    """Whether a process has ended: there is none, or nobody has reaped it yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _hash(password: str) -> str:
    return sha256(password.encode()).hexdigest()
