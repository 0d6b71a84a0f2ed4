"""`python -m bench.replays`: what its projects are made of, and what of a client is compared."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.replays import arrived
from bench.replays.passed import PASSED, counts
from bench.replays.projects import PROJECTS, Project

BASE = "http://127.0.0.1:8080/v/build-abc"
READ = {".json": json.loads, ".toml": tomllib.loads, ".xml": ElementTree.fromstring}


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.client)
def test_project__its_files_can_be_read_and_name_the_stranger_only_where_it_is_wanted(
    project: Project,
) -> None:
    without = project.files(project.dependencies, BASE)
    wanted = project.files([*project.dependencies, project.strange], BASE)
    for path, text in {**without, **wanted}.items():
        READ.get(Path(path).suffix, str)(text)
    assert project.strangers_name in "".join(wanted.values())
    assert project.strangers_name not in "".join(without.values())


def test_arrived__files_and_links_of_project_home_and_caches__whatever_the_caches_folder_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for name in ("one", "other"):
        scratch, project = tmp_path / name, tmp_path / f"{name}-project"
        for folder in (scratch / "pip", project, tmp_path / f"{name}-home"):
            folder.mkdir(parents=True)
        (scratch / "pip" / "settings").write_text(f"cache={scratch}/pip")
        (project / "lock").write_text("1")
        (project / "link").symlink_to("lock")
        monkeypatch.setenv("PIP_CACHE_DIR", str(scratch / "pip"))
        monkeypatch.setenv("HOME", str(tmp_path / f"{name}-home"))
        monkeypatch.chdir(project)
        monkeypatch.setattr("sys.argv", ["arrived", str(tmp_path / "told")])
        arrived.main()
        found.append(json.loads((tmp_path / "told").read_text()))
    assert found[0] == found[1]
    assert sorted(found[0]) == ["caches/pip/settings", "project/link", "project/lock"]


def test_compared__is_all_but_what_is_listed_with_its_reason() -> None:
    assert all(reason for _, reason in PASSED)
    assert counts("project/package-lock.json") and counts("caches/npm/_cacache/content-v2/sha512/aa/bb")
    assert not counts("caches/npm/_cacache/index-v5/00/1f/bec9")
