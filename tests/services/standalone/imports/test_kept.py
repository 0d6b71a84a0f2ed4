"""What was imported is listed by project, and forgotten by name: pages are made anew without it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.standalone.imports import kept
from shared.imports import rows
from shared.postgres.connection import session
from shared.protocols.roles.importing import Imported, Listed
from tests.services.standalone.imports.test_importing import Place, place

__all__ = ["place"]

Run = Callable[..., tuple[int, str, str]]
FILES = (
    ("pypi", "acme-app", "1.0", 100),
    ("pypi", "acme-app", "2.0", 200),
    ("npm", "@acme/app", "1.0.0", 300),
)


@pytest.fixture
async def stored(place: Place) -> Place:
    async with session(place.url) as database:
        for number, (protocol, project, version, size) in enumerate(FILES):
            listed = Listed(project, version, f"{version}.whl", f"{project}/{version}.whl", b"")
            file = Imported(listed, f"{number:064x}", size, {})
            await rows.store(database, protocol, [file])
            await rows.offer(database, protocol, [])
    return place


@pytest.fixture
def run(
    stored: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Run:
    monkeypatch.setenv("ORCHARD_DATABASE_URL", stored.url)
    monkeypatch.setenv("ORCHARD_DATA_DIR", str(tmp_path))

    def told(*words: str) -> tuple[int, str, str]:
        code = kept.main(words)
        said = capsys.readouterr()
        return code, said.out, said.err

    return told


def projects(run: Run, *words: str) -> dict[str, Any]:
    code, out, _ = run(*words, "--json")
    assert code == 0
    return {f"{each['protocol']}/{each['project']}": each["versions"] for each in json.loads(out)["projects"]}


def test_listed__all_of_one_protocol_of_one_name_of_one_version(run: Run) -> None:
    assert projects(run) == {"npm/@acme/app": ["1.0.0"], "pypi/acme-app": ["1.0", "2.0"]}
    assert projects(run, "pypi") == {"pypi/acme-app": ["1.0", "2.0"]}
    assert projects(run, "pypi/ACME_App") == {"pypi/acme-app": ["1.0", "2.0"]}
    assert projects(run, "npm/@acme/app@1.0.0") == {"npm/@acme/app": ["1.0.0"]}
    assert projects(run, "pypi/other") == {}
    assert run()[1].endswith("3 files, 600 bytes in all\n")


async def revision(place: Place, protocol: str) -> int:
    query = "SELECT revision FROM source_revisions WHERE protocol = $1"
    return int((await place.stores.database.fetch(query, protocol))[0]["revision"])


async def test_forgotten__only_with_yes_and_pages_are_made_anew(
    stored: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = kept._named("pypi/acme-app@1.0")
    async with session(stored.url) as database:
        before = await revision(stored, "pypi")
        assert [each.versions for each in await rows.kept(database, *named)] == [["1.0"]]
        await rows.forget(database, *named)
        assert await revision(stored, "pypi") > before
        assert [each.versions for each in await rows.kept(database, "pypi", "", "")] == [["2.0"]]
        assert [each.versions for each in await rows.kept(database, "npm", "", "")] == [["1.0.0"]]


def test_forget__is_a_dry_run_without_yes(run: Run) -> None:
    _, out, _ = run("pypi/acme-app", "--forget")
    assert "2 files, 300 bytes would be forgotten: --yes does it" in out
    assert projects(run, "pypi") == {"pypi/acme-app": ["1.0", "2.0"]}
    _, out, _ = run("pypi/acme-app@2.0", "--forget", "--yes")
    assert "1 files, 200 bytes are forgotten" in out
    assert projects(run) == {"npm/@acme/app": ["1.0.0"], "pypi/acme-app": ["1.0"]}


@pytest.mark.parametrize("words", [("--forget",), ("pypi", "--forget"), ("gopher/x",), ("pypi/",)])
def test_forget__of_what_has_no_name__refused(run: Run, words: tuple[str, ...]) -> None:
    code, _, said = run(*words, "--yes")
    assert code == 2 and "PROTOCOL/NAME" in said
    assert len(projects(run)) == 2
