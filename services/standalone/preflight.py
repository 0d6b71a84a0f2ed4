"""Checks before anything is started: ports, each fault one line that names its variable; and room for the
stores.

PostgreSQL does not start without room for its log, and all that could free room needs PostgreSQL: a reserve
is given up when the disk is full.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
from pathlib import Path

from shared.errors import ConfigurationError
from shared.process.disk import in_words
from shared.settings import Settings


def check_ports(settings: Settings, gateways: int) -> None:
    """Raises `ConfigurationError` if a gateway could not listen where it should."""
    if settings.port + gateways - 1 > 65535:
        raise ConfigurationError(f"ORCHARD_PORT: {gateways} gateways need ports above {settings.port}")
    for port in range(settings.port, settings.port + gateways):
        _check(settings.host, port)


def _check(host: str, port: int) -> None:
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"ORCHARD_HOST: {host!r} is no address of this machine") from error
    try:
        with socket.socket(family, kind, number) as probe:
            # As the server does: a port in TIME_WAIT is free, one that somebody listens on is not.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except PermissionError as error:
        raise ConfigurationError(
            f"ORCHARD_PORT: port {port} needs a privilege; choose one over 1023"
        ) from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(
                f"ORCHARD_PORT: port {port} on {host} is already taken by another program"
            ) from error
        raise ConfigurationError(f"ORCHARD_HOST: cannot listen on {host}: {error.strerror}") from error


RESERVE_BYTES = 48 * 1024 * 1024  # two of PostgreSQL's log segments (16 MiB each), and some
LEAST_BYTES = 24 * 1024 * 1024  # one of them, and what the rest writes
EXPENDABLE = ("spool", "hot", "objects/.incoming", "objects/.damaged", "objects/variants")
"""Made again when somebody asks for it: broken-off downloads, copies, finished pages."""


def make_room(folder: Path) -> str:
    """Make sure that the stores can start. Returns what was removed for it, "" if nothing.

    Raises `ConfigurationError`, one line, if that is not enough.
    """
    reserve = folder / "reserve"
    given = ""
    if _free(folder) < LEAST_BYTES:
        if reserve.exists():
            reserve.unlink()
            given = "the disk is full: the reserve was given up"
        if _free(folder) < LEAST_BYTES:
            for name in EXPENDABLE:
                _empty(folder / name)
            given = "the disk is full: finished pages and copies were given up"
        free = _free(folder)
        if free < LEAST_BYTES:
            raise ConfigurationError(
                f"ORCHARD_DATA_DIR: the disk of {folder} is full ({in_words(free)} free, at least "
                f"{in_words(LEAST_BYTES)} are needed): free some, or name another folder"
            )
    elif not reserve.exists() and _free(folder) > 3 * RESERVE_BYTES:
        _reserve(reserve)
    return given


def bound_of(settings: Settings, folder: Path) -> int:
    """How many bytes of files stay at most: half of the disk unless set; 0, no bound, for a bucket."""
    if settings.evict_bytes is not None or settings.s3_endpoint:
        return settings.evict_bytes or 0
    found = os.statvfs(folder)
    return found.f_blocks * found.f_frsize // 2


def _free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _empty(folder: Path) -> None:
    for path in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(OSError):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _reserve(path: Path) -> None:
    """A file that really takes its room, or none."""
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
    except OSError:
        path.unlink(missing_ok=True)
