"""Changing a client's own file: what is there stays, twice is once, and it can be taken back."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.cli.client_files import SUFFIX, Change, apply, undo
from services.cli.clients import CLIENTS
from services.cli.errors import CommandFailed
from shared.clientfiles.lines import set_ini, set_pairs, set_words
from shared.clientfiles.setup import CannotEdit, FileEdit, NotPossible, Setup
from shared.clientfiles.toml import put_table, set_keys
from shared.clientfiles.xml import put_element
from shared.clientfiles.yaml import add_to_list, set_scalar

BASE = "http://127.0.0.1:8080"
MIRROR = "<id>orchard</id><mirrorOf>*</mirrorOf>"


def _mirror(text: str) -> str:
    return put_element(text, "settings", "mirrors", "mirror", "orchard", MIRROR)


def _index(text: str) -> str:
    return put_table(text, "tool.uv.index", "orchard", {"url": f"{BASE}/pypi/simple/", "default": True})


def _pip(text: str) -> str:
    return set_ini(text, "global", {"index-url": [BASE]})


def _npmrc(text: str) -> str:
    return set_pairs(text, {"registry": BASE, "//x/:_authToken": "${ORCHARD_TOKEN}"})


def _yarn(text: str) -> str:
    return add_to_list(set_scalar(text, "npmRegistryServer", f'"{BASE}"'), "unsafeHttpWhitelist", "127.0.0.1")


CASES: list[tuple[Callable[[str], str], str, str]] = [
    (_pip, "", f"[global]\nindex-url = {BASE}\n"),
    (
        _pip,
        "; mine\n[global]\ntimeout = 9\nINDEX_URL = https://old.com/\n    gone\n# kept\n\n[install]\n"
        "user = yes\n",
        f"; mine\n[global]\ntimeout = 9\nindex-url = {BASE}\n# kept\n\n[install]\nuser = yes\n",
    ),
    (_pip, "[install]\nuser = yes", f"[install]\nuser = yes\n\n[global]\nindex-url = {BASE}\n"),
    (_npmrc, "", f"registry={BASE}\n//x/:_authToken=${{ORCHARD_TOKEN}}\n"),
    (
        _npmrc,
        "; c\nregistry = https://old.example.com/\n@me:registry=https://me.example.com/\nregistry=later\n",
        f"; c\nregistry={BASE}\n@me:registry=https://me.example.com/\n//x/:_authToken=${{ORCHARD_TOKEN}}\n",
    ),
    (
        lambda text: set_words(text, {"registry": BASE}),
        '# yarn lockfile v1\n\nemail me@example.com\nregistry "https://old.example.com"\n',
        f'# yarn lockfile v1\n\nemail me@example.com\nregistry "{BASE}"\n',
    ),
    (_yarn, "", f'npmRegistryServer: "{BASE}"\nunsafeHttpWhitelist:\n  - "127.0.0.1"\n'),
    (
        _yarn,
        'nodeLinker: pnp\nunsafeHttpWhitelist: [a.example.com, "b"]\n\n# why\nnpmScopes:\n  me:\n'
        '    npmAuthToken: x\n',
        'nodeLinker: pnp\nunsafeHttpWhitelist:\n  - "a.example.com"\n  - "b"\n  - "127.0.0.1"\n\n# why\n'
        'npmScopes:\n'
        f'  me:\n    npmAuthToken: x\nnpmRegistryServer: "{BASE}"\n',
    ),
    (
        _index,
        '[project]\nname = "x"  # y\n',
        '[project]\nname = "x"  # y\n\n[[tool.uv.index]]\nname = "orchard"\n'
        f'url = "{BASE}/pypi/simple/"\ndefault = true\n',
    ),
    (
        _index,
        '[[tool.uv.index]]\nname = "other"\nurl = "https://o.example.com/"\n\n[[tool.uv.index]]\n'
        'name = "orchard"\n'
        'url = "http://old/"  # mine\nauthenticate = "always"\n\n[tool.x]\na = 1\n',
        '[[tool.uv.index]]\nname = "other"\nurl = "https://o.example.com/"\n\n[[tool.uv.index]]\n'
        'name = "orchard"\n'
        f'url = "{BASE}/pypi/simple/"\nauthenticate = "always"\ndefault = true\n\n[tool.x]\na = 1\n',
    ),
    (
        _mirror,
        '<?xml version="1.0"?>\n<!-- mine > yours -->\n<settings xmlns="urn:x">\n  <mirrors a=">">\n'
        '    <mirror><id>o</id></mirror>\n'
        "  </mirrors>\n</settings>\n",
        '<?xml version="1.0"?>\n<!-- mine > yours -->\n<settings xmlns="urn:x">\n  <mirrors a=">">\n'
        '    <mirror>\n      '
        f"{MIRROR}\n    </mirror>\n    <mirror><id>o</id></mirror>\n  </mirrors>\n</settings>\n",
    ),
    (
        _mirror,
        "<settings><mirrors/><x>é</x></settings>",
        f"<settings><mirrors>\n    <mirror>\n      {MIRROR}\n    </mirror>\n  </mirrors><x>é</x></settings>",
    ),
    (
        _mirror,
        "<settings><mirrors><mirror><id> orchard </id><url>old</url></mirror></mirrors></settings>",
        f"<settings><mirrors><mirror>\n      {MIRROR}\n    </mirror></mirrors></settings>",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "before", "after"), CASES)
def test_edit__only_our_lines_change_and_twice_is_once(
    edit: Callable[[str], str], before: str, after: str
) -> None:
    assert edit(before) == after
    assert edit(after) == after


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (_pip, "index-url = x\n"),
        (_index, "a = \n"),
        (_index, "[tool.uv]\nindex = [{name = 'orchard', url = 'x'}]\n"),
        (_index, "[tool.uv]\nindex = []\n"),
        (_index, 'a = """\n[[tool.uv.index]]\n"""\n[[tool.uv.index]]\nname="orchard"\nurl="x"\n'),
        (_index, "[tool.uv]\nindex = 'x'\n"),
        (_yarn, '{"npmRegistryServer": "x"}\n'),
        (_yarn, "unsafeHttpWhitelist: &all\n  - a\n"),
        (_yarn, "unsafeHttpWhitelist:\n  - {a: b}\n"),
        (_yarn, "npmRegistryServer: a\nnpmRegistryServer: b\n"),
        (_mirror, "<settings>"),
        (_mirror, "<project></project>"),
        (_mirror, "<settings/>"),
        (_mirror, '<!DOCTYPE settings [<!ENTITY a "b">]><settings>&a;</settings>'),
    ],
)
def test_edit__a_file_that_cannot_be_changed_safely__is_refused(
    edit: Callable[[str], str], text: str
) -> None:
    with pytest.raises(CannotEdit):
        edit(text)


def _edit(path: Path, line: str = "ours") -> FileEdit:
    return FileEdit(path, lambda text: set_pairs(text, {"registry": line}))


def _write(edit: FileEdit) -> Change:
    return apply(edit, "a", lambda _: {"a": [edit]}, dry_run=False)


def _undo(edit: FileEdit) -> Change:
    return undo(edit.path, "a", lambda _: {"a": [edit]}, dry_run=False)


def test_undo__file_changed_by_hand_since__refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / ".npmrc"
    path.write_text("a=1\n")
    _write(_edit(path))
    path.write_text(path.read_text() + "b=2\n")
    with pytest.raises(CommandFailed, match="has been changed since"):
        _undo(_edit(path))
    assert path.read_text() == "a=1\nregistry=ours\nb=2\n"


def test_write__changed_by_hand_between_two_writes__both_copies_are_kept(tmp_path: Path) -> None:
    path = tmp_path / ".npmrc"
    path.write_text("a=1\n")
    _write(_edit(path))
    path.write_text("b=2\n")
    _write(_edit(path))
    copies = {each.read_text() for each in tmp_path.glob(f"*{SUFFIX}*")}
    assert copies == {"a=1\n", "b=2\n"}
    _undo(_edit(path))
    assert path.read_text() == "b=2\n"


def test_write__file_is_a_link__the_link_stays(tmp_path: Path) -> None:
    real, link = tmp_path / "dotfiles", tmp_path / ".npmrc"
    real.write_text("a=1\n")
    link.symlink_to(real)
    _write(_edit(link))
    assert link.is_symlink()
    assert real.read_text() == "a=1\nregistry=ours\n"


def test_dry_run__nothing_is_touched(tmp_path: Path) -> None:
    path = tmp_path / ".npmrc"
    assert "registry=ours" in apply(_edit(path), "a", lambda _: {"a": []}, dry_run=True).difference
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "line",
    [
        "registry=https://me:hunter2@corp.example.com/",
        "//x/:_password=hunter2",
        "<password>hunter2</password>",
    ],
)
def test_difference__secrets_of_the_file_are_masked(tmp_path: Path, line: str) -> None:
    path = tmp_path / "file"
    path.write_text(f"{line}\n")
    change = apply(
        FileEdit(path, lambda text: text.replace(line, "ours")), "a", lambda _: {"a": []}, dry_run=True
    )
    assert "hunter2" not in change.difference
    assert "+ours" in change.difference


def test_uv__another_default_index__refused_with_its_name(tmp_path: Path) -> None:
    setup = Setup(BASE, folder=tmp_path, environ={"HOME": str(tmp_path), "FAKEROOTKEY": "1"})
    (edit,) = CLIENTS["uv"](setup).files
    with pytest.raises(CannotEdit, match="corp"):
        edit.edit('[[index]]\nname = "corp"\nurl = "https://c.example.com/"\ndefault = true\n')


def test_npm__another_npmrc_in_this_folder__is_told_and_in_the_home_folder_none_is(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    for folder in (tmp_path, project):
        (folder / ".npmrc").touch()
    environ = {"HOME": str(tmp_path)}
    assert CLIENTS["npm"](Setup(BASE, folder=tmp_path, environ=environ)).notes == ()
    assert "wins over your own" in CLIENTS["npm"](Setup(BASE, folder=project, environ=environ)).notes[0]


def test_pip__plain_http_on_another_host__is_trusted_beside_those_already(tmp_path: Path) -> None:
    setup = Setup(
        "http://orchard.example.com", folder=tmp_path, environ={"HOME": str(tmp_path), "FAKEROOTKEY": "1"}
    )
    (edit,) = CLIENTS["pip"](setup).files
    text = edit.edit("[global]\ntrusted-host = a.example.com\n")
    assert text == (
        "[global]\ntrusted-host =\n    a.example.com\n    orchard.example.com\n"
        "index-url = http://orchard.example.com/pypi/simple/\n"
    )
    assert edit.edit(text) == text


def test_pdm__plain_http_on_another_host__is_taken_without_tls(tmp_path: Path) -> None:
    setup = Setup("http://orchard.example.com", folder=tmp_path, environ={"HOME": str(tmp_path)})
    (edit,) = CLIENTS["pdm"](setup).files
    assert edit.snippet == '[pypi]\nurl = "http://orchard.example.com/pypi/simple/"\nverify_ssl = false\n'
    (edit,) = CLIENTS["pdm"](setup._replace(base=BASE)).files
    assert "verify_ssl" not in edit.snippet


@pytest.mark.parametrize("tool", ["hatch", "pipx"])
def test_what_runs_pip_or_uv__in_a_project__refused(tmp_path: Path, tool: str) -> None:
    setup = Setup(BASE, folder=tmp_path, environ={"HOME": str(tmp_path)}, project=True)
    with pytest.raises(NotPossible, match="of the user"):
        CLIENTS[tool](setup)


def test_corepack__token__stands_in_a_variable_alone(tmp_path: Path) -> None:
    setup = Setup(BASE, folder=tmp_path, environ={"HOME": str(tmp_path)}, token=True)
    assert CLIENTS["corepack"](setup).files == ()
    made = CLIENTS["corepack"](setup._replace(project=True))
    assert [each.snippet for each in made.files] == [f"COREPACK_NPM_REGISTRY={BASE}/npm/\n"]
    assert made.variables == ('export COREPACK_NPM_TOKEN="$ORCHARD_TOKEN"',)


def test_poetry__other_sources__are_kept() -> None:
    text = '[tool.poetry]\nname = "x"\n\n[[tool.poetry.source]]\nname = "o"\nurl = "https://o.example.com/"\n'
    after: Any = tomllib.loads(put_table(text, "tool.poetry.source", "orchard", {"url": BASE}))
    assert [each["name"] for each in after["tool"]["poetry"]["source"]] == ["o", "orchard"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '[source.main]\nreplace-with = "orchard"\n'),
        ("[net]\nretry = 3\n", '[net]\nretry = 3\n\n[source.main]\nreplace-with = "orchard"\n'),
        (
            '[source.main] # mine\nreplace-with = "x"\nother = 1\n\n[net]\nretry = 3\n',
            '[source.main] # mine\nreplace-with = "orchard"\nother = 1\n\n[net]\nretry = 3\n',
        ),
        ('[source."main"]\n', '[source."main"]\nreplace-with = "orchard"\n'),
    ],
)
def test_toml_keys__of_one_table__set_in_place_or_added(before: str, after: str) -> None:
    assert set_keys(before, "source.main", {"replace-with": "orchard"}) == after
    assert set_keys(after, "source.main", {"replace-with": "orchard"}) == after


@pytest.mark.parametrize(
    "text", ["source = 1\n", "[source]\nmain = { a = 1 }\n", "[[source.main]]\na = 1\n", "x"]
)
def test_toml_keys__written_otherwise__left_alone(text: str) -> None:
    with pytest.raises(CannotEdit):
        set_keys(text, "source.main", {"replace-with": "orchard"})
