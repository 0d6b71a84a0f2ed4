"""A backup of a running Orchard, restored in an empty folder, installs offline; what is damaged, foreign or
newer is refused before anything changes."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.services.standalone.harness import Standalone, started, tool, wait_for
from tests.support.builders import build_wheel
from tests.support.small_disk import fill, small_disk
from tests.support.upstream import Upstream

REAL = "services.standalone"


def pip_install(orchard: Standalone, target: Path, *words: str) -> None:
    index = f"http://127.0.0.1:{orchard.port}/pypi/simple/"
    command = [sys.executable, "-m", "pip", "install", "-q", "--isolated", "--no-cache-dir", "--no-input"]
    command += ["--disable-pip-version-check", "--index-url", index, "--target", str(target), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr


def block(orchard: Standalone, name: str, token: str) -> None:
    asked = urllib.request.Request(
        f"http://127.0.0.1:{orchard.port}/api/v1/admin/blocks",
        data=json.dumps({"protocol": "pypi", "name": name, "reason": "no"}).encode(),
        headers={"authorization": f"Bearer {token.strip()}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(asked, timeout=10) as answer:
        assert answer.status == 201


class Kept:
    """A backup of an Orchard from which app and its dependency were installed."""

    def __init__(self, folder: Path, first: dict[str, Any], second: dict[str, Any], token: str) -> None:
        self.folder, self.first, self.second, self.token = folder, first, second, token

    @property
    def snapshot(self) -> Path:
        return self.folder / "snapshots" / self.second["snapshot"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    folder = tmp_path_factory.mktemp("backup")
    with Upstream() as upstream:
        upstream.add_project(
            "app", {"app-1.0-py3-none-any.whl": build_wheel("app", "1.0", requires=["lib>=1"])}
        )
        upstream.add_project("lib", {"lib-1.0-py3-none-any.whl": build_wheel("lib", "1.0")})
        settings = {"ORCHARD_PYPI_UPSTREAM": f"{upstream.url}/simple/"}
        with Standalone(folder / "data", environment=settings, module=REAL) as orchard:
            orchard.wait_until_ready()
            pip_install(orchard, folder / "one", "app")
            first = json.loads(tool("make", str(folder / "kept"), "--json", data=folder / "data"))
            pip_install(orchard, folder / "two", "app")
            block(orchard, "bad", (folder / "data" / "admin-token").read_text())
            second = json.loads(tool("make", str(folder / "kept"), "--json", data=folder / "data"))
            orchard.process.terminate()
            orchard.wait_until_over()
    token = (folder / "data" / "admin-token").read_text()
    shutil.rmtree(folder / "data")
    yield Kept(folder / "kept", first, second, token)


@pytest.fixture
def copy(kept: Kept, tmp_path: Path) -> Path:
    """The backup, to be spoilt."""
    return Path(shutil.copytree(kept.folder, tmp_path / "copy"))


def refused(backup: Path, tmp_path: Path) -> str:
    """What a restore says that is refused; nothing is there afterwards."""
    said = tool("restore", str(backup), data=tmp_path / "data", exit_code=1)
    assert said.count("\n") == 1
    assert not [*tmp_path.glob("data*")]
    return said


def test_second_backup__what_is_there_already__is_not_copied_again(kept: Kept) -> None:
    assert kept.first["new_objects"] == kept.first["objects"] > 0
    assert kept.second["new_objects"] == kept.second["objects"] - kept.first["objects"]
    assert kept.folder.stat().st_mode & 0o077 == 0


def test_restored__every_upstream_away__installs_with_the_same_keys(kept: Kept, tmp_path: Path) -> None:
    said = tool("restore", str(kept.folder), data=tmp_path / "data")
    assert kept.second["snapshot"] in said
    assert (tmp_path / "data" / "admin-token").read_text() == kept.token
    with Standalone(tmp_path / "data", environment={"ORCHARD_OFFLINE": "true"}, module=REAL) as orchard:
        orchard.wait_until_ready()
        pip_install(orchard, tmp_path / "target", "app")
        assert (tmp_path / "target" / "lib-1.0.dist-info").is_dir()
        block(orchard, "evil", kept.token)  # a row made now has a number of its own


def test_restore__data_folder_is_not_empty__refused_and_left_as_it_is(kept: Kept, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine").write_text("precious")
    assert "not empty" in tool("restore", str(kept.folder), data=tmp_path / "data", exit_code=1)
    assert [each.name for each in (tmp_path / "data").iterdir()] == ["mine"]


def test_restore__data_folder_is_a_file__refused_and_left_as_it_is(kept: Kept, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("precious")
    assert "no folder" in tool("restore", str(kept.folder), data=tmp_path / "data", exit_code=1)
    assert (tmp_path / "data").read_text() == "precious"


def test_restore__data_folder_is_a_file_system_of_its_own__refused(kept: Kept, tmp_path: Path) -> None:
    with small_disk(tmp_path / "data", 1) as data:
        assert "file system of its own" in tool("restore", str(kept.folder), data=data, exit_code=1)


def test_restore__an_object_is_damaged_or_gone__refused(copy: Path, tmp_path: Path) -> None:
    path = next((copy / "objects" / "artifacts").glob("*/*"))
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert f"{path} is damaged" in refused(copy, tmp_path)
    path.unlink()
    assert str(path) in refused(copy, tmp_path)


@pytest.mark.parametrize("name", ["cached_urls.copy.gz", "objects.txt"])
def test_restore__a_file_of_the_snapshot_is_damaged__refused(
    copy: Path, kept: Kept, tmp_path: Path, name: str
) -> None:
    path = copy / "snapshots" / kept.second["snapshot"] / name
    path.write_bytes(path.read_bytes() + b"x")
    assert f"{name} is damaged" in refused(copy, tmp_path)


def test_backup__an_object_of_it_has_decayed__is_copied_again_unless_quick(
    copy: Path, kept: Kept, tmp_path: Path
) -> None:
    tool("restore", str(copy), data=tmp_path / "data")
    path = next((copy / "objects" / "artifacts").glob("*/*"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    quick = json.loads(tool("make", str(copy), "--quick", "--json", data=tmp_path / "data"))
    assert (quick["new_objects"], quick["mended"], quick["objects"]) == (0, 0, kept.second["objects"])
    assert path.read_bytes() != whole
    full = json.loads(tool("make", str(copy), "--json", data=tmp_path / "data"))
    assert (full["new_objects"], full["mended"], full["objects"]) == (1, 1, kept.second["objects"])
    assert path.read_bytes() == whole


def test_restore__two_objects_are_swapped_or_one_is_cut_short__refused(copy: Path, tmp_path: Path) -> None:
    one, other, *_ = sorted((copy / "objects" / "artifacts").glob("*/*"))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    assert " is damaged" in refused(copy, tmp_path)
    one.write_bytes(content[:-1])
    assert " is damaged" in refused(copy, tmp_path)


@pytest.mark.parametrize("name", ["secret-key", "admin-token"])
def test_restore__a_key_is_another_or_gone__refused(
    copy: Path, kept: Kept, tmp_path: Path, name: str
) -> None:
    path = copy / "snapshots" / kept.second["snapshot"] / name
    path.write_text("x" * 44 + "\n")
    assert f"{name} is damaged" in refused(copy, tmp_path)
    path.unlink()
    assert str(path) in refused(copy, tmp_path)


def test_restore__a_backup_of_before_keys_had_digests__is_taken(
    copy: Path, kept: Kept, tmp_path: Path
) -> None:
    rewrite(copy, kept, keys=None)
    tool("restore", str(copy), data=tmp_path / "data")
    assert (tmp_path / "data" / "admin-token").read_text() == kept.token


def rewrite(backup: Path, kept: Kept, **fields: object) -> None:
    path = backup / "snapshots" / kept.second["snapshot"] / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def resign_table(backup: Path, kept: Kept, name: str, content: bytes) -> None:
    """A table's file with other content, and the digest of that in the manifest."""
    snapshot = backup / "snapshots" / kept.second["snapshot"]
    (snapshot / f"{name}.copy.gz").write_bytes(content)
    tables = json.loads((snapshot / "manifest.json").read_text())["tables"]
    for each in tables:
        if each["name"] == name:
            each["sha256"] = hashlib.sha256(content).hexdigest()
    rewrite(backup, kept, tables=tables)


def test_restore__of_a_newer_or_foreign_schema_or_another_format__refused(
    copy: Path, kept: Kept, tmp_path: Path
) -> None:
    manifest = json.loads((kept.snapshot / "manifest.json").read_text())
    migrations = manifest["migrations"]
    rewrite(copy, kept, migrations=migrations | {"9999_from_tomorrow": "00"})
    assert "newer Orchard" in refused(copy, tmp_path)
    rewrite(copy, kept, migrations=migrations | {"0001_initial": "00"})
    assert "other migrations" in refused(copy, tmp_path)
    rewrite(copy, kept, migrations=migrations, format=2)
    assert "format 2" in refused(copy, tmp_path)
    evil = {"name": 'x"; DROP TABLE projects; --', "columns": ["a"], "rows": 0, "sha256": "00"}
    rewrite(copy, kept, format=1, tables=[evil])
    assert "names what no Orchard names" in refused(copy, tmp_path)
    rewrite(copy, kept, tables=manifest["tables"], keys={"../../admin-token": "00"})
    assert "names what no Orchard names" in refused(copy, tmp_path)


SPOILT_ROWS = {
    "cut short": lambda content: content[: len(content) // 2],
    "no gzip": lambda _: b"rows",
    "rotten inside": lambda content: (
        content[:12] + bytes(each ^ 0x5A for each in content[12:30]) + content[30:]
    ),
    "no rows": lambda _: gzip.compress(b""),
    "other columns": lambda _: gzip.compress(b"a\tb\n"),
}


@pytest.mark.parametrize("how", SPOILT_ROWS)
async def test_restore__rows_that_lie_under_a_right_digest__refused_and_the_database_is_empty_again(
    copy: Path, kept: Kept, tmp_path: Path, empty_database_url: str, how: str
) -> None:
    content = (kept.snapshot / "cached_urls.copy.gz").read_bytes()
    resign_table(copy, kept, "cached_urls", SPOILT_ROWS[how](content))
    database = {"ORCHARD_DATABASE_URL": empty_database_url}
    said = tool("restore", str(copy), data=tmp_path / "data", exit_code=1, **database)
    assert said.count("\n") == 1, said
    assert not [*tmp_path.glob("data*")]
    tool("restore", str(kept.folder), data=tmp_path / "data", **database)


def test_restore__objects_listed_otherwise_than_counted_or_not_listed_as_text__refused(
    copy: Path, kept: Kept, tmp_path: Path
) -> None:
    listed = copy / "snapshots" / kept.second["snapshot"] / "objects.txt"
    for content, said in ((b"", "lists other objects"), (b"artifacts/\xff 3\n", "names no object")):
        listed.write_bytes(content)
        rewrite(copy, kept, objects_sha256=hashlib.sha256(content).hexdigest())
        assert said in refused(copy, tmp_path)


def test_restore__a_folder_beside_it_that_looks_like_a_broken_off_one__stays(
    kept: Kept, tmp_path: Path
) -> None:
    (tmp_path / "data.restoring").mkdir()
    (tmp_path / "data.restoring" / "mine").touch()
    tool("restore", str(kept.folder), data=tmp_path / "data")
    assert (tmp_path / "data.restoring" / "mine").is_file()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["data", "data.restoring"]


def test_restore__a_folder_that_is_no_backup__refused(tmp_path: Path) -> None:
    (tmp_path / "something").mkdir()
    assert "holds no backup" in refused(tmp_path / "something", tmp_path)


def test_restore__an_earlier_snapshot_by_name__and_a_backup_that_was_cut_off_does_not_count(
    copy: Path, kept: Kept, tmp_path: Path
) -> None:
    (copy / "snapshots" / "29991231T235959Z.part").mkdir()
    said = tool("restore", str(copy), "--snapshot", kept.first["snapshot"], data=tmp_path / "data")
    assert kept.first["snapshot"] in said
    told = json.loads(tool("make", str(copy), "--keep", "1", "--json", data=tmp_path / "data"))
    assert (told["rows"], told["objects"]) == (kept.first["rows"], kept.first["objects"])
    assert [each.name for each in (copy / "snapshots").iterdir()] == [told["snapshot"]]
    assert told["pruned"]["snapshots"] == 2
    assert len(list((copy / "objects").glob("*/*/*"))) == told["objects"]
    assert told["snapshot"] in tool("restore", str(copy), data=tmp_path / "third")


@pytest.fixture(scope="module")
def data(kept: Kept, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a stopped Orchard, out of the backup."""
    folder = tmp_path_factory.mktemp("restored") / "data"
    tool("restore", str(kept.folder), data=folder)
    return folder


@pytest.mark.parametrize("where", ["a file", "below a file", "of the kernel's", "with files of others"])
def test_backup__into_a_place_that_cannot_be_one__names_the_place_and_not_the_database(
    data: Path, tmp_path: Path, where: str
) -> None:
    (tmp_path / "file").touch()
    place = {
        "a file": tmp_path / "file",
        "below a file": tmp_path / "file" / "kept",
        "of the kernel's": Path("/proc/kept"),
        "with files of others": tmp_path,
    }[where]
    said = tool("make", str(place), data=data, exit_code=1)
    assert str(place) in said and "PostgreSQL" not in said and said.count("\n") == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file"]


@pytest.mark.parametrize("left", [0, 100_000], ids=["for nothing", "for the rows alone"])
def test_backup__onto_a_full_disk__one_line_and_no_part_of_it_is_left(
    data: Path, tmp_path: Path, left: int
) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        fill(disk, leave_bytes=left).rename(tmp_path / "disk" / "lost+found")
        said = tool("make", str(disk), data=data, exit_code=1)
        assert "No space left on device" in said and said.count("\n") == 1
        assert not [*disk.rglob("*.part")]


def test_backups__three_at_once__three_snapshots(data: Path, tmp_path: Path) -> None:
    with Standalone(data, environment={"ORCHARD_OFFLINE": "true"}, module=REAL) as orchard:
        orchard.wait_until_ready()
        with ThreadPoolExecutor(3) as threads:
            made = [
                threads.submit(tool, "make", str(tmp_path / "kept"), "--json", data=data) for _ in range(3)
            ]
            names = {json.loads(each.result())["snapshot"] for each in made}
    assert {each.name for each in (tmp_path / "kept" / "snapshots").iterdir()} == names
    assert len(names) == 3


def waits_for_a_lock(pid: int) -> bool:
    """By the kernel's table: those that wait have an arrow."""
    lines = Path("/proc/locks").read_text().splitlines()
    return any("->" in line and str(pid) in line.split() for line in lines)


@pytest.mark.parametrize(
    ("number", "inherited"),
    [
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGTERM, signal.default_int_handler),
        pytest.param(signal.SIGTERM, signal.SIG_IGN, id="SIGTERM, started in the background of a shell"),
    ],
)
def test_backup__stopped_by_a_signal__130_and_no_part_of_it_is_left(
    data: Path, tmp_path: Path, number: signal.Signals, inherited: Any
) -> None:
    kept = tmp_path / "kept"
    tool("make", str(kept), data=data)
    before = sorted(kept.rglob("*"))
    own = signal.signal(signal.SIGINT, inherited)
    begun = started("make", str(kept), data=data)
    signal.signal(signal.SIGINT, own)
    with (kept / "lock").open() as lock, begun as process:
        fcntl.flock(lock, fcntl.LOCK_EX)  # it goes no further than this
        wait_for(lambda: waits_for_a_lock(process.pid), "the wait for the lock")
        process.send_signal(number)
        fcntl.flock(lock, fcntl.LOCK_UN)
        said = process.communicate(timeout=60)[1]
    assert (process.returncode, said) == (130, "orchard: interrupted\n")
    assert sorted(kept.rglob("*")) == before
