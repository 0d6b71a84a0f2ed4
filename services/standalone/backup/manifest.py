"""What a backup says of itself, and whether it can be believed. Nothing in it is trusted: names become paths
and SQL, so each has a form, and every file its digest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from services.standalone.kept_files import ADMIN_TOKEN, SECRET_KEY
from shared.migrations.runner import Migration

FORMAT = 1
SNAPSHOTS = "snapshots"
OBJECTS = "objects"
MANIFEST = "manifest.json"
LISTED = "objects.txt"  # KEY SIZE, a line each
KEYS = (ADMIN_TOKEN, SECRET_KEY)  # not that of the transparency log: what is restored may be behind it
CHUNK_BYTES = 1024 * 1024
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_SNAPSHOT = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_DAY = re.compile(r"[0-9]{8}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LINE = re.compile(rb"([a-z]{1,32}/[0-9a-f]{64}) ([0-9]{1,15})")


class BackupError(Exception):
    """One line: why a backup cannot be made, or why one is not restored."""


class Table(msgspec.Struct, frozen=True):
    """Rows of one table, in TABLE.copy.gz of the snapshot."""

    name: str
    columns: list[str]
    rows: int
    sha256: str  # of the file


class Manifest(msgspec.Struct, frozen=True):
    """One snapshot."""

    format: int
    made_at: float  # unix seconds: what was committed before is in it
    version: str  # of the Orchard that made it
    migrations: dict[str, str]  # name → checksum
    tables: list[Table]  # in an order in which they can be loaded
    sequences: dict[str, int]  # name → last value
    days: list[str]  # partitions of the ledger, YYYYMMDD
    objects_sha256: str  # of `LISTED`
    objects: int
    object_bytes: int
    missing: int  # objects with a row that were not in the store: evicted
    keys: dict[str, str] | None = None  # name → SHA256 of the files of `KEYS`; None: an older Orchard's


def finished_snapshots(backup: Path) -> list[str]:
    """Their names, the oldest first."""
    names = (each.parent.name for each in (backup / SNAPSHOTS).glob(f"*/{MANIFEST}"))
    return sorted(each for each in names if _SNAPSHOT.fullmatch(each))


def newest_snapshot(backup: Path, name: str = "") -> Path:
    """The snapshot `name`, else the newest that was finished. Raises `BackupError`."""
    folder = backup / SNAPSHOTS
    found = finished_snapshots(backup)
    if name:
        if name not in found:
            raise BackupError(f"{backup} has no snapshot {name!r}; it has: {', '.join(found) or 'none'}")
        return folder / name
    if not found:
        raise BackupError(f"{backup} holds no backup of Orchard")
    return folder / found[-1]


def read_manifest(snapshot: Path, known: Sequence[Migration]) -> Manifest:
    """Checked, with every file but the objects.

    Raises `BackupError` for one that is damaged, foreign, or of a newer schema than `known`.
    """
    try:
        manifest = msgspec.json.decode((snapshot / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise BackupError(f"{snapshot / MANIFEST} cannot be read: {error}") from error
    if manifest.format != FORMAT:
        raise BackupError(f"{snapshot} has format {manifest.format}; this Orchard reads format {FORMAT}")
    newer = sorted(set(manifest.migrations) - {each.name for each in known})
    if newer:
        raise BackupError(
            f"{snapshot} is of a newer Orchard ({manifest.version}, {newer[-1]}): restore it with that one"
        )
    level = known[: len(manifest.migrations)]
    if not all(each.is_that(manifest.migrations.get(each.name, "")) for each in level):
        raise BackupError(f"{snapshot} is of other migrations than this Orchard's: it is no backup of it")
    if not set(manifest.keys or ()) <= set(KEYS):
        raise BackupError(f"{snapshot / MANIFEST} names what no Orchard names")
    names = [*manifest.sequences, *(each.name for each in manifest.tables)]
    names += [column for each in manifest.tables for column in each.columns]
    if not all(_NAME.fullmatch(each) for each in names) or not all(map(_DAY.fullmatch, manifest.days)):
        raise BackupError(f"{snapshot / MANIFEST} names what no Orchard names")
    for table in manifest.tables:
        _check(snapshot / f"{table.name}.copy.gz", table.sha256)
    _check(snapshot / LISTED, manifest.objects_sha256)
    for name, sha256 in (manifest.keys or {}).items():
        _check(snapshot / name, sha256)
    return manifest


def listed_objects(snapshot: Path) -> Iterator[tuple[str, int]]:
    """Key and size of each object. Raises `BackupError`, `OSError`."""
    with (snapshot / LISTED).open("rb") as file:
        for line in file:
            found = _LINE.fullmatch(line.rstrip(b"\n"))
            if found is None:
                raise BackupError(f"{snapshot / LISTED}: {line[:80]!r} names no object")
            yield found[1].decode(), int(found[2])


def object_path(backup: Path, key: str) -> Path:
    """Where a backup keeps an object."""
    folder, _, digest = key.partition("/")
    return backup / OBJECTS / folder / digest[:2] / digest


def digest_of(path: Path) -> str:
    """SHA256, hex. Raises `OSError`."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _check(path: Path, sha256: str) -> None:
    try:
        right = _SHA256.fullmatch(sha256) is not None and digest_of(path) == sha256
    except OSError as error:
        raise BackupError(f"{path} cannot be read: {error.strerror}") from error
    if not right:
        raise BackupError(f"{path} is damaged: it is not what the manifest says")
