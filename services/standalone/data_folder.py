"""The data folder: made and checked at start, locked while Orchard runs, with its logs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import time
from pathlib import Path

from services.standalone.kept_files import make_folder, put_aside_unless_file
from services.standalone.output import complain
from shared.errors import ConfigurationError

KEPT = (
    "address", "admin-token", "hot", "logs", "objects", "orchard.lock", "postgres", "redis-cache",
    "redis-queue", "secret-key", "spool",
)  # fmt: skip
"""What lies in a data folder. With it, all below it: a folder of mode 0700 lets nobody pass."""
LOCK_WAIT_SECONDS = 6.0  # longer than the watchdog of a killed supervisor needs


class DataFolder:
    """`ORCHARD_DATA_DIR`, held by an exclusive lock (flock) from `open()` to `close()`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock_fd = -1

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def open(self) -> None:
        """Raises `ConfigurationError`: one line, if the folder cannot be written or is in use."""
        try:
            self.path = self.path.expanduser().resolve()
            self.path.mkdir(parents=True, exist_ok=True)
            lock = self.path / "orchard.lock"
            put_aside_unless_file(lock)  # nobody can hold what is none
            make_folder(self.logs)
            with contextlib.suppress(
                FileExistsError
            ):  # before the store, which opens what it makes to other users
                (self.path / "objects").mkdir(mode=0o700)
            self._close_to_others()
            self.lock_fd = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
            os.ftruncate(self.lock_fd, 0) if self._lock() else self._refuse()
            os.write(self.lock_fd, b"%d\n" % os.getpid())
        except OSError as error:
            raise ConfigurationError(
                f"ORCHARD_DATA_DIR: cannot write to {error.filename or self.path}: {error.strerror or error}"
            ) from error

    def close(self) -> None:
        """Give the lock back. The file stays: removing it could let two Orchards in."""
        if self.lock_fd >= 0:
            os.close(self.lock_fd)
            self.lock_fd = -1

    def _close_to_others(self) -> None:
        """Private packages, logs and passwords are no other user's: mode 0700, of folders from before too.

        A folder that everybody shares (sticky, as /tmp is) keeps its mode; only Orchard's parts of it change.
        Somebody else's cannot be changed, which is said and no reason to stop.
        """
        shared = self.path.stat().st_mode & stat.S_ISVTX
        opened = False
        for path in [*([] if shared else [self.path]), *(self.path / name for name in KEPT)]:
            try:
                mode = stat.S_IMODE(path.stat().st_mode)
                # Others may pass through to PostgreSQL where it runs as nobody (identity.py).
                opened = opened or bool(mode & 0o066)
                if mode & 0o077:
                    path.chmod(mode & 0o700)
            except PermissionError:
                complain(f"ORCHARD_DATA_DIR: {path} belongs to another user: others may be able to read it")
            except OSError:  # nothing is there, or a link to nowhere: whoever needs it sees to it
                continue
        if opened:
            complain(f"ORCHARD_DATA_DIR: others could read {self.path}: closed to all but its owner (0700)")

    def log(self, name: str) -> Path:
        """The log file of a process."""
        path = self.logs / f"{name}.log"
        if not path.is_char_device():  # a log may be sent to /dev/null
            put_aside_unless_file(path)
        return path

    def trim_logs(self, limit_bytes: int, predecessors: int) -> None:
        """Put aside as NAME.log.1 what stands in a log that has grown over its limit; of those before it stay
        NAME.log.2 and so on, `predecessors` in all.

        Copied and emptied, not renamed: the processes go on writing (appending) to the same file.
        """
        for path in self.logs.glob("*.log"):
            with contextlib.suppress(OSError):  # a full disk must not stop Orchard here
                if path.stat().st_size <= limit_bytes:
                    continue
                for number in range(predecessors, 1, -1):
                    with contextlib.suppress(FileNotFoundError):
                        path.with_name(f"{path.name}.{number - 1}").replace(f"{path}.{number}")
                if predecessors:
                    shutil.copyfile(path, path.with_name(path.name + ".1"))
                os.truncate(path, 0)

    def _lock(self) -> bool:
        deadline = time.monotonic() + LOCK_WAIT_SECONDS
        while True:
            try:
                fcntl.flock(self.lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                # A dead owner's watchdog still clears up: worth waiting for. A living one is not.
                if self._owner_lives() or time.monotonic() > deadline:
                    return False
            time.sleep(0.1)

    def _owner(self) -> int:
        with contextlib.suppress(ValueError):
            return int(os.pread(self.lock_fd, 32, 0))
        return 0

    def _owner_lives(self) -> bool:
        owner = self._owner()
        if owner <= 0:
            return False
        try:
            os.kill(owner, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def _refuse(self) -> None:
        owner = self._owner()
        os.close(self.lock_fd)
        self.lock_fd = -1
        raise ConfigurationError(
            f"ORCHARD_DATA_DIR: {self.path} is in use by another Orchard (process {owner}); "
            "stop it or choose another folder"
        )
