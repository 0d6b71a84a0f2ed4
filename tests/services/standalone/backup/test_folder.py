"""A backup takes the place of nobody's files."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from services.standalone.backup.folder import check_folder, make_folders
from services.standalone.backup.making import _named
from services.standalone.backup.manifest import BackupError
from services.standalone.backup.pruning import Pruned, prune, shared

DIGEST = hashlib.sha256(b"").hexdigest()
OBJECT = f"objects/artifacts/{DIGEST[:2]}/{DIGEST}"
FINISHED = "snapshots/20260101T000000Z/manifest.json"


def _made(folder: Path, names: Sequence[str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch() if not name.endswith("/") else (folder / name).mkdir()
    return folder


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["lost+found/"],
        ["lock", "snapshots/", OBJECT],  # the first one was broken off
        [FINISHED],  # of before there was a lock
        [FINISHED, "README", "lock"],
    ],
    ids=["empty", "a file system's root", "broken off", "old", "with a note beside it"],
)
def test_folder_that_is_a_backup_or_empty__is_taken(tmp_path: Path, names: Sequence[str]) -> None:
    check_folder(_made(tmp_path / "backup", names), tmp_path / "data")


@pytest.mark.parametrize(
    ("names", "named"),
    [
        (["objects/photos/2024/img.jpg"], "objects"),
        (["snapshots/", "objects/"], "objects"),
        (["snapshots/mine/manifest.json"], "snapshots"),
        (["README"], "README"),
        (["lock", "README"], "README"),
        ([OBJECT, "postgres/", "orchard.lock"], "objects"),
    ],
    ids=["photos", "names alone", "another's snapshots", "a note", "another's lock", "a data folder"],
)
def test_folder_of_others__is_refused_and_left_as_it_is(
    tmp_path: Path, names: Sequence[str], named: str
) -> None:
    folder = _made(tmp_path / "backup", names)
    before = sorted(folder.rglob("*"))
    with pytest.raises(BackupError, match=f"holds '{named}'"):
        check_folder(folder, tmp_path / "data")
    assert sorted(folder.rglob("*")) == before


def test_lock_with_content__is_another_programs(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("123")
    with pytest.raises(BackupError, match="'lock'"):
        check_folder(tmp_path, Path("/elsewhere/data"))


@pytest.mark.parametrize("backup", ["data", "data/kept", "."])
def test_data_folder__what_lies_in_it_and_what_holds_it__refused(tmp_path: Path, backup: str) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(BackupError, match="data folder"):
        check_folder(tmp_path / backup, tmp_path / "data")


def test_folders__one_of_others_keeps_its_mode__a_new_one_and_what_is_inside_are_closed(
    tmp_path: Path,
) -> None:
    theirs, new = tmp_path / "theirs", tmp_path / "new"
    theirs.mkdir()
    theirs.chmod(0o755)
    for folder in (theirs, new):
        make_folders(folder)
        assert {each.name: each.stat().st_mode & 0o777 for each in folder.iterdir()} == {
            "snapshots": 0o700,
            "objects": 0o700,
        }
    assert theirs.stat().st_mode & 0o777 == 0o755
    assert new.stat().st_mode & 0o777 == 0o700


def test_objects_that_are_none__stay_whatever_is_kept(tmp_path: Path) -> None:
    theirs = (
        "objects/photos/2024/img.jpg",
        f"objects/artifacts/{DIGEST[:2]}/{DIGEST}.bak",
        f"objects/artifacts/00/{DIGEST}",
        f"objects/artifacts/{DIGEST[:2]}/{DIGEST[:2]}/{DIGEST}",
    )
    _made(tmp_path, [*theirs, OBJECT, f"{OBJECT}.0a1b2c3d.part", f"{OBJECT}.77.part"])
    with shared(tmp_path, create=True) as lock:
        assert prune(tmp_path, lock, 1) == Pruned(0, 3, 0)
    assert all((tmp_path / each).is_file() for each in theirs)


def test_two_that_began_in_one_second__the_later_one_gets_the_next(tmp_path: Path) -> None:
    began = 1_800_000_000.5
    names = []
    for number in range(3):
        part = tmp_path / f"{number}.part"
        part.mkdir()
        (part / "manifest.json").touch()
        names.append(_named(part, began))
    assert names == [time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(began + each)) for each in range(3)]
    assert sorted(each.name for each in tmp_path.iterdir()) == names
