"""Written and undone over every client: whatever address, token, line ends and links its files have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from services.cli.client_files import SUFFIX
from services.cli.clients import CLIENTS
from services.cli.main import main
from shared.clientfiles.form import MARK, in_form_of, plain
from shared.clientfiles.setup import CannotEdit, Setup, read_text

THERE = ("http://one.example.com:8080", "https://two.example.com/behind", "http://127.0.0.1:8080")
OWN = {
    "pip.conf": "# mine \u2028 [global] timeout = 3\n[global]\ntimeout = 9\n\n[install]\nuser = yes\n",
    "uv.toml": '# mine \x85 and \u2028\nnative-tls = true\n',
    "config.toml": "[net]\nretry = 3 # mine\n\n[other]\na = 1\n",
    ".npmrc": "; mine\n//old.example.com/:_authToken=hunter2\nfund=false\n",
    ".yarnrc": "# mine\nemail x\n",
    ".yarnrc.yml": "# mine\nnodeLinker: pnp\nunsafeHttpWhitelist:\n  - a.example.com\n\n"
    "enableTelemetry: false\n",
    "settings.xml": "<settings>\n  <!-- mine -->\n  <offline>false</offline>\n</settings>\n",
    "pyproject.toml": '[project]\nname = "x"\n\n[tool.x]\na = 1\n',
}  # fmt: skip
"""By the name of a file: one that a person has."""

WITH_FILES = [tool for tool in CLIENTS if tool not in ("corepack", "coursier")]


class Home:
    """A user's home and project, with what they wrote there; `run` is the command."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        for name in [each for each in os.environ if each.upper().startswith(("NPM_", "PIP_", "UV_", "XDG_"))]:
            monkeypatch.delenv(name)
        for name in ("CARGO_HOME", "GRADLE_USER_HOME", "ORCHARD_URL", "ORCHARD_TOKEN", "VIRTUAL_ENV"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", str(folder))
        monkeypatch.setenv("FAKEROOTKEY", "1")  # else yarn 1 as root has the whole machine's file
        monkeypatch.chdir(folder)

    def run(self, *words: str) -> int:
        return main(["client-config", "-q", *words])

    def paths(self, tool: str, token: bool) -> list[Path]:
        setup = Setup(THERE[0], self.folder, os.environ, token)
        return [each.path for each in CLIENTS[tool](setup).files]

    def files(self) -> dict[str, bytes]:
        return {
            str(each.relative_to(self.folder)): each.read_bytes()
            for each in self.folder.rglob("*")
            if each.is_file()
        }

    def put(self, tool: str, change: Any = lambda text: text) -> dict[str, bytes]:
        """What a person has of a client's files (and the pyproject.toml that poetry needs)."""
        for path in {*self.paths(tool, True), *self.paths(tool, False)}:
            text = OWN.get(path.name, "")
            if text:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(change(text).encode())
                path.chmod(0o640)
        return self.files()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    return Home(tmp_path, monkeypatch)


@pytest.mark.parametrize("own", [True, False], ids=["files-there", "no-files"])
@pytest.mark.parametrize("token", ["--token", "--no-token"])
@pytest.mark.parametrize("tool", WITH_FILES)
def test_undo__whatever_addresses_it_was_written_with__file_is_as_it_was(
    home: Home, tool: str, token: str, own: bool
) -> None:
    before = home.put(tool) if own else {}
    if tool == "poetry" and not own:
        assert home.run(tool, "--write", "--url", THERE[0]) == 1  # it has no other file
        assert home.files() == {}
        return
    for url in (*THERE, THERE[0]):
        assert home.run(tool, "--write", "--url", url, token) == 0
        assert any(url.encode() in data for data in home.files().values())
    for url in THERE[1:]:  # nothing of the former addresses is left
        kept = [data for name, data in home.files().items() if SUFFIX not in name]
        assert not any(url.partition("//")[2].partition("/")[0].encode() in data for data in kept)
    assert home.run(tool, "--undo") == 0
    assert home.files() == before
    assert all(path.stat().st_mode & 0o777 == 0o640 for path in home.folder.rglob("*") if path.is_file())
    assert home.run(tool, "--undo") == 0  # nothing is left to undo
    assert home.files() == before


@pytest.mark.parametrize("form", ["crlf", "mixed", "no-last-end", "mark"])
@pytest.mark.parametrize("tool", WITH_FILES)
def test_write__line_ends_and_marks_of_a_file__stay_but_for_the_lines_shown(
    home: Home, tool: str, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(text: str) -> str:
        lines = text.split("\n")
        if form == "crlf":
            return "\r\n".join(lines)
        if form == "mixed":
            return lines[0] + "\r\n" + "\n".join(lines[1:])
        return MARK + text if form == "mark" else text.removesuffix("\n")

    before = home.put(tool, change)
    code = home.run(tool, "--write", "--url", THERE[0])
    if form == "mark" and code:
        assert tool in ("pip", "hatch", "pipx")  # pip itself reads no such file
        assert home.files() == before
        return
    assert code == 0
    shown = capsys.readouterr().out
    after = home.files()
    for name, data in before.items():
        for line in data.splitlines(keepends=True):
            text = line.decode().strip("\r\n")
            if f"-{text}" not in shown.splitlines() and line.endswith(b"\n"):
                assert line in after[name]
        assert after[name].startswith(MARK.encode()) == (form == "mark")
        if form == "crlf":
            assert after[name].count(b"\n") == after[name].count(b"\r\n")
    assert home.run(tool, "--write", "--url", THERE[0]) == 0
    assert home.files() == after
    assert home.run(tool, "--undo") == 0
    assert home.files() == before


@pytest.mark.parametrize(
    ("old", "new", "formed"),
    [
        ("a\r\nb\r\n", "a\nc\nb\n", "a\r\nc\r\nb\r\n"),
        ("a\nb\r\nc\n", "b\nc\nd\n", "b\r\nc\nd\n"),
        ("a\rb", "a\nb\n", "a\rb"),
        ("a\rb", "a\nb\nc\n", "a\rb\rc\r"),
        ("a\n\r\na\n", "x\na\n\na\n", "x\na\n\r\na\n"),
        ("a", "b\n", "b\n"),
        ("", "a\n", "a\n"),
    ],
)
def test_form__lines_that_stay_keep_their_ends(old: str, new: str, formed: str) -> None:
    assert in_form_of(old, new) == formed
    assert plain(formed).rstrip("\n") == new.rstrip("\n")


@pytest.mark.parametrize(
    ("tools", "undone"),
    [
        (("npm", "pnpm"), "pnpm"),
        (("npm", "yarn-1"), "npm"),
        (("yarn-1", "npm"), "yarn-1"),
        (("uv", "poetry"), "uv"),
        (("uv", "poetry"), "poetry"),
        (("poetry", "uv"), "uv"),
    ],
)
def test_undo__a_file_that_clients_share__is_undone_for_all_and_says_so(
    home: Home, tools: tuple[str, str], undone: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (home.folder / "pyproject.toml").write_text(OWN["pyproject.toml"])
    (home.folder / ".npmrc").write_text(OWN[".npmrc"])
    (home.folder / ".yarnrc").write_text(OWN[".yarnrc"])
    before = home.files()
    for tool in tools:
        assert home.run(tool, "--write", "--project", "--token", "--url", THERE[0]) == 0
    capsys.readouterr()
    assert home.run(undone, "--undo", "--project") == 0
    other = next(each for each in tools if each != undone)
    assert other in capsys.readouterr().out.replace("# ", "").split("read the same lines")[0]
    assert home.run(other, "--undo", "--project") == 0
    assert home.files() == before


def test_write_and_undo__through_a_link_that_leads_nowhere_yet__leave_the_link_alone(home: Home) -> None:
    link = home.folder / ".npmrc"
    link.symlink_to(home.folder / "dotfiles")
    assert home.run("npm", "--write", "--url", THERE[0]) == 0
    assert (home.folder / "dotfiles").is_file()
    assert home.run("npm", "--undo") == 0
    assert link.is_symlink() and home.files() == {}


def test_write__the_copy_s_name_is_a_link__nothing_is_written_through_it(home: Home) -> None:
    (home.folder / ".npmrc").write_text(OWN[".npmrc"])
    copy, elsewhere = home.folder / f".npmrc{SUFFIX}", home.folder / "elsewhere"
    copy.symlink_to(elsewhere)
    assert home.run("npm", "--write", "--url", THERE[0]) == 0
    assert not elsewhere.exists() and not copy.is_symlink()
    assert copy.read_text() == OWN[".npmrc"]
    assert home.run("npm", "--undo") == 0
    assert (home.folder / ".npmrc").read_text() == OWN[".npmrc"]


@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "large", "other encoding"])
@pytest.mark.parametrize("tool", WITH_FILES)
def test_write__what_is_no_file_of_settings__is_refused_at_once(home: Home, tool: str, kind: str) -> None:
    for path in home.paths(tool, True):
        path.parent.mkdir(parents=True, exist_ok=True)
        match kind:
            case "fifo":
                os.mkfifo(path)
            case "device":
                path.symlink_to("/dev/zero")
            case "folder":
                path.mkdir()
            case "large":
                with path.open("wb") as file:
                    file.truncate(1 << 30)
            case _:
                path.write_bytes("# café\n".encode("latin-1"))
        with pytest.raises(CannotEdit):
            read_text(path)
    assert home.run(tool, "--write", "--url", THERE[0], "--token") == 1
    assert not list(home.folder.rglob(f"*{SUFFIX}"))


def test_undo__a_file_written_by_hand_for_another_registry__is_left_alone(home: Home) -> None:
    (home.folder / ".npmrc").write_text("registry=https://packages.example.com/npm/\n")
    assert home.run("npm", "--undo") == 0
    assert (home.folder / ".npmrc").read_text() == "registry=https://packages.example.com/npm/\n"


@pytest.mark.parametrize(
    "text",
    ['? npmRegistryServer\n: "x"\n', '!!str npmRegistryServer: "x"\n', '"npmRegistry\\u0053erver": "x"\n'],
)
def test_yarn_4__a_key_in_a_form_that_is_not_known__left_alone(home: Home, text: str) -> None:
    (home.folder / ".yarnrc.yml").write_text(text)
    assert home.run("yarn-4", "--write", "--url", THERE[0]) == 1
    assert (home.folder / ".yarnrc.yml").read_text() == text


def test_yarn_4__key_behind_a_byte_order_mark__is_changed_where_it_is(home: Home) -> None:
    (home.folder / ".yarnrc.yml").write_text(f'{MARK}npmRegistryServer: "x"\n')
    assert home.run("yarn-4", "--write", "--url", "https://two.example.com") == 0
    assert (home.folder / ".yarnrc.yml").read_text() == (
        f'{MARK}npmRegistryServer: "https://two.example.com/npm/"\n'
    )
