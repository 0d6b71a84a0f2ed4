"""Old snapshots leave a backup: what the others name stays, and nothing goes while it is read or written."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from services.standalone.backup.manifest import BackupError, object_path
from services.standalone.backup.pruning import Pruned, prune, shared

DAYS = [f"2026010{day}T000000Z" for day in range(1, 5)]
SHARED, OLD, NEW = (f"artifacts/{hashlib.sha256(name).hexdigest()}" for name in (b"shared", b"old", b"new"))


def _snapshot(backup: Path, name: str, *keys: str) -> Path:
    folder = backup / "snapshots" / name
    folder.mkdir(parents=True)
    (folder / "objects.txt").write_text("".join(f"{key} 3\n" for key in keys))
    (folder / "manifest.json").write_text("{}")
    for key in keys:
        path = object_path(backup, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"abc")
    return folder


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """Four days: an object of the first two, one of all, one of the last two."""
    for day, keys in zip(DAYS, [(SHARED, OLD)] * 2 + [(SHARED, NEW)] * 2, strict=True):
        _snapshot(tmp_path, day, *keys)
    return tmp_path


def _pruned(backup: Path, keep: int) -> Pruned:
    with shared(backup, create=True) as lock:
        return prune(backup, lock, keep)


def _snapshots(backup: Path) -> list[str]:
    return sorted(each.name for each in (backup / "snapshots").iterdir())


def _objects(backup: Path) -> set[str]:
    return {f"{each.parts[-3]}/{each.name}" for each in (backup / "objects").glob("*/*/*")}


@pytest.mark.parametrize(
    ("keep", "gone", "objects"),
    [
        (9, Pruned(), {SHARED, OLD, NEW}),
        (4, Pruned(), {SHARED, OLD, NEW}),
        (3, Pruned(1), {SHARED, OLD, NEW}),
        (2, Pruned(2, 1, 3), {SHARED, NEW}),
        (1, Pruned(3, 1, 3), {SHARED, NEW}),
    ],
)
def test_newest_stay__with_all_that_they_name(
    backup: Path, keep: int, gone: Pruned, objects: set[str]
) -> None:
    assert _pruned(backup, keep) == gone
    assert _snapshots(backup) == DAYS[-keep:]
    assert _objects(backup) == objects
    assert _pruned(backup, keep) == Pruned()


def test_snapshot_of_another_name__stays_and_does_not_count(backup: Path) -> None:
    (backup / "snapshots" / DAYS[0]).rename(backup / "snapshots" / "before-the-move")
    assert _pruned(backup, 1).snapshots == 2
    assert _snapshots(backup) == [DAYS[-1], "before-the-move"]
    assert _objects(backup) == {SHARED, OLD, NEW}


def test_removal_that_was_broken_off__goes_on(backup: Path) -> None:
    (backup / "snapshots" / DAYS[0]).rename(backup / "snapshots" / f"{DAYS[0]}.part")
    (backup / "snapshots" / f"{DAYS[3]}.part").mkdir()
    left = object_path(backup, NEW).with_suffix(".1.part")
    left.write_bytes(b"a")
    assert _pruned(backup, 2) == Pruned(1, 2, 4)
    assert not left.exists() and _snapshots(backup) == DAYS[2:]


@pytest.mark.parametrize("content", ["nonsense\n", "artifacts/é 3\n", None])
def test_a_listing_that_stays_cannot_be_read__nothing_is_removed(backup: Path, content: str | None) -> None:
    listing = backup / "snapshots" / DAYS[3] / "objects.txt"
    listing.unlink()
    if content is not None:
        listing.write_text(content)
    with pytest.raises(BackupError):
        _pruned(backup, 1)
    assert _snapshots(backup) == DAYS and _objects(backup) == {SHARED, OLD, NEW}


def test_another_backup_or_a_restore_runs__nothing_is_removed(backup: Path) -> None:
    with shared(backup, create=True), pytest.raises(BackupError, match="nothing was removed"):
        _pruned(backup, 1)
    assert _snapshots(backup) == DAYS
    assert _pruned(backup, 1).snapshots == 3


def test_reader__makes_no_lock_in_a_folder_that_is_no_backup(tmp_path: Path) -> None:
    with shared(tmp_path) as lock:
        assert lock is None
    assert list(tmp_path.iterdir()) == []
