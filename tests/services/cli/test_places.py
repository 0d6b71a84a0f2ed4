"""Whatever file a command is to write: where it cannot be is told in one line, and nothing is left."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from services.cli.errors import CommandFailed
from services.cli.files import check_place, write_whole, writing
from tests.services.cli.conftest import LAUNCH, Command

ID, SUM = "b" * 32, "a" * 64
NOWHERE = "http://127.0.0.1:9"
WAYS = {
    "ensure --lock": ("ensure", "orchard.ensure", "--lock", "{}"),
    "ensure --export": ("ensure", "orchard.ensure", "--lock", "x.json", "--export", "requirements.txt",
                        "--export-dir", "{parent}"),
    "bundle": ("bundle", ID, "-o", "{}"),
    "quarantine get": ("quarantine", "get", SUM, "{}"),
    "verify --save": ("verify", "demo.whl", "--save", "{parent}"),
    "statement --save": ("statement", SUM, "--save", "{parent}"),
}  # fmt: skip
NAMES = {"ensure --export": "requirements.txt", "verify --save": "demo.whl.tlog-proof",
         "statement --save": "statement.intoto.jsonl"}  # fmt: skip
PLACES = {"folder": "it is a folder", "device": "no regular file", "below a file": "is no folder"}


def place(kind: str, folder: Path, name: str) -> Path:
    path = folder / "out" / name
    if kind == "below a file":
        path.parent.write_text("a file")
        return path
    path.parent.mkdir()
    if kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/full")
    return path


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("way", WAYS)
def test_a_place_where_no_file_can_be__told_before_anything_is_asked(
    way: str, kind: str, tmp_path: Path
) -> None:
    (tmp_path / "orchard.ensure").write_text("")
    (tmp_path / "demo.whl").write_text("a wheel")
    path = place(kind, tmp_path, NAMES.get(way, "out.bin"))
    words = [each.format(path, parent=path.parent) for each in WAYS[way]]
    before = sorted(map(str, tmp_path.rglob("*")))
    done = Command(tmp_path, ORCHARD_URL=NOWHERE)(*words)
    assert done.returncode == 1 and PLACES[kind] in done.stderr, done.stderr
    assert done.stderr.count("\n") == 2 and "Traceback" not in done.stderr  # and what to do
    assert sorted(map(str, tmp_path.rglob("*"))) == before


@pytest.mark.parametrize(
    "words",
    [
        ("ensure", "-"),
        ("policy", "apply", "-"),
        ("policy", "test", "pypi/x", "--file", "-"),
        ("tokens", "exchange", "--file", "-"),
    ],
)
def test_standard_input_that_is_closed__one_line_and_wrong_use(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    line = " ".join([*LAUNCH, *words, "<&-"])
    done = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "standard input is closed" in done.stderr, done.stderr


def test_missing_folders__are_made(tmp_path: Path) -> None:
    write_whole(tmp_path / "a" / "b" / "c", b"x")
    assert (tmp_path / "a" / "b" / "c").read_bytes() == b"x"


def test_disk_that_is_full__told_and_the_file_is_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    path.write_bytes(b"before")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CommandFailed, match="No space left"):
        write_whole(path, b"after")
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == b"before"


def test_place_that_is_read_only__told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(CommandFailed, match="nothing may be put into"):
        check_place(tmp_path / "x")


def test_what_fails_while_it_is_written__is_told_as_it_is_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError), writing(tmp_path / "x") as write:
        write(b"some")
        raise ConnectionResetError
    assert list(tmp_path.iterdir()) == []
