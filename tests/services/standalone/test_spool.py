"""What an import puts aside is gone when it ends, and after it was killed with the next one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.standalone.spool import OLD_SECONDS, own_spool


def _names(data: Path) -> list[str]:
    return sorted(each.name for each in data.iterdir())


def test_spool__is_its_owners_alone_and_removed_at_the_end_also_of_a_failure(tmp_path: Path) -> None:
    for failure in (KeyboardInterrupt, OSError):
        with pytest.raises(failure), own_spool(tmp_path / "data") as spool:
            assert spool.stat().st_mode & 0o777 == 0o700
            (spool / "file").write_bytes(b"x")
            raise failure
        assert _names(tmp_path / "data") == []


def test_spool__of_one_that_was_killed__goes_with_the_next__that_of_one_that_runs_stays(
    tmp_path: Path,
) -> None:
    (tmp_path / ".import-killed").mkdir()
    (tmp_path / ".import-killed" / "file").touch()
    (tmp_path / "mine").touch()
    with own_spool(tmp_path) as running:
        (running / "file").touch()
        with own_spool(tmp_path) as other:
            assert _names(tmp_path) == sorted([running.name, other.name, "mine"])
            assert (running / "file").exists()
    assert _names(tmp_path) == ["mine"]


def test_files_that_earlier_versions_left__go_once_they_are_a_day_old(tmp_path: Path) -> None:
    for name, age in ((".import-new", 0.0), (".import-old", OLD_SECONDS + 60)):
        (tmp_path / name).touch()
        at = (tmp_path / name).stat().st_mtime - age
        os.utime(tmp_path / name, (at, at))
    with own_spool(tmp_path):
        pass
    assert _names(tmp_path) == [".import-new"]
