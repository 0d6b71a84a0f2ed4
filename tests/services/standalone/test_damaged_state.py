"""What Orchard can make again never stops a start, however it is damaged; precious files are one line."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from services.standalone.kept_files import ADMIN_TOKEN, SECRET_KEY, remembered_keys, write_private
from services.standalone.postgres import EmbeddedPostgres
from services.standalone.redis_server import EmbeddedRedis
from services.standalone.servers import EmbeddedServer, StoreFailed
from shared.settings import Settings
from tests.services.standalone.harness import Standalone

Damage = Callable[[Path], None]


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def lost(path: Path) -> None:
    path.unlink()


def garbage(path: Path) -> None:
    path.write_bytes(b"\0\xff garbage '; \n\n" * 5)


def folder(path: Path) -> None:
    path.unlink()
    (path / "inside").mkdir(parents=True)


def huge_number(path: Path) -> None:
    path.write_bytes(b"70000\n")


def other_words(path: Path) -> None:
    path.write_bytes(b"letmein\n")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


DAMAGES = [pipe, link_to_itself, emptied, lost, garbage, folder, huge_number, other_words]


async def kept_number(server: EmbeddedPostgres) -> object:
    connection = await asyncpg.connect(server.url(), timeout=5)
    try:
        return await connection.fetchval("SELECT n FROM kept")
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped cluster with one row, to be copied."""
    path = tmp_path_factory.mktemp("cluster") / "postgres"
    server = EmbeddedPostgres(path, durable=False).start()
    psql(server, "CREATE TABLE kept AS SELECT 7 AS n")
    server.stop()
    return path


def psql(server: EmbeddedPostgres, statement: str) -> None:
    server._run(["psql", server.url(), "-c", statement], "")


PG_FILES = [
    "port", "password", "pg_hba.conf", "data/PG_VERSION", "data/base/1/PG_VERSION", "data/postgresql.conf",
    "data/postgresql.auto.conf", "data/pg_hba.conf", "data/pg_ident.conf", "data/postmaster.opts",
    "data/orchard-password",
]  # fmt: skip


@pytest.mark.parametrize("name", PG_FILES)
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda each: each.__name__)
async def test_postgres__a_file_that_can_be_made_again_is_damaged__starts_with_its_rows(
    cluster: Path, tmp_path: Path, name: str, damage: Damage
) -> None:
    copy = tmp_path / "postgres"
    shutil.copytree(cluster, copy, symlinks=True)
    damage(copy / name)
    with EmbeddedPostgres(copy, durable=False) as server:
        assert await kept_number(server) == 7


@pytest.mark.parametrize(
    "damage", [emptied, garbage, folder, pipe, link_to_itself], ids=lambda each: each.__name__
)
async def test_postgres__a_damaged_pid_file__starts(cluster: Path, tmp_path: Path, damage: Damage) -> None:
    copy = tmp_path / "postgres"
    shutil.copytree(cluster, copy, symlinks=True)
    (copy / "data" / "postmaster.pid").write_text("1\n")
    damage(copy / "data" / "postmaster.pid")
    with EmbeddedPostgres(copy, durable=False) as server:
        assert await kept_number(server) == 7


async def test_postgres__empty_folders_missing_after_a_copy__starts(cluster: Path, tmp_path: Path) -> None:
    copy = tmp_path / "postgres"
    shutil.copytree(cluster, copy, symlinks=True)
    for path in sorted((copy / "data").rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    with EmbeddedPostgres(copy, durable=False) as server:
        assert await kept_number(server) == 7


def test_postgres__its_control_file_is_lost__is_one_line_and_removes_nothing(
    cluster: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "postgres"
    shutil.copytree(cluster, copy, symlinks=True)
    (copy / "data/global/pg_control").unlink()
    (copy / "data/PG_VERSION").unlink()
    with pytest.raises(StoreFailed, match="restore it from a backup") as refused:
        EmbeddedPostgres(copy, durable=False).prepare()
    assert "\n" not in str(refused.value)
    assert (copy / "data/base/1").is_dir()


async def test_postgres__killed_and_not_yet_reaped__starts_again(cluster: Path, tmp_path: Path) -> None:
    copy = tmp_path / "postgres"
    shutil.copytree(cluster, copy, symlinks=True)
    with EmbeddedPostgres(copy, durable=False) as first:
        os.kill(first.pid, signal.SIGKILL)  # a zombie until this process waits for it
        with EmbeddedPostgres(copy, durable=False) as second:
            assert await kept_number(second) == 7


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def zeros_at_the_end(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\0" * 4096)


def overwritten_inside(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[30:70] = b"\xff" * 40
    path.write_bytes(bytes(whole))


JOURNAL = [f"appendonlydir/appendonly.aof.{name}" for name in ("manifest", "1.base.rdb", "1.incr.aof")]


@pytest.mark.parametrize(
    "damage",
    [cut, zeros_at_the_end, overwritten_inside, emptied, lost, garbage, folder, pipe, link_to_itself],
    ids=lambda each: each.__name__,
)
@pytest.mark.parametrize("name", [*JOURNAL, "port", "password", "redis.conf"])
def test_queue_redis__any_file_is_damaged__starts(
    tmp_path: Path, name: str, damage: Damage, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "redis-queue"
    with EmbeddedRedis(path, "queue") as server:
        for number in range(20):
            server.command("SET", f"key-{number}", "x" * 20)
    damage(path / name)
    with EmbeddedRedis(path, "queue") as server:
        assert server.command("SET", "key", "value") == b"+OK"
    said = capfd.readouterr().err
    assert said.count("\n") <= 1


@pytest.mark.parametrize("damage", [emptied, pipe, link_to_itself], ids=lambda each: each.__name__)
def test_queue_redis__something_else_in_its_journals_place__starts(tmp_path: Path, damage: Damage) -> None:
    (tmp_path / "appendonlydir").touch()
    damage(tmp_path / "appendonlydir")
    with EmbeddedRedis(tmp_path, "queue") as server:
        assert server.command("SET", "key", "value") == b"+OK"


@pytest.mark.parametrize("damage", [garbage, folder], ids=lambda each: each.__name__)
def test_cache_redis__a_foreign_dump__is_not_read(tmp_path: Path, damage: Damage) -> None:
    dump = tmp_path / "dump.rdb"
    dump.write_bytes(b"")
    damage(dump)
    with EmbeddedRedis(tmp_path, "cache") as server:
        assert server.command("PING") == b"+PONG"


@pytest.mark.parametrize("kind", ["postgres", "redis-cache", "redis-queue"])
def test_store__a_file_stands_in_its_folders_place__starts(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    path.write_bytes(b"not a folder")
    server: EmbeddedServer = {
        "postgres": lambda: EmbeddedPostgres(path, durable=False),
        "redis-cache": lambda: EmbeddedRedis(path, "cache"),
        "redis-queue": lambda: EmbeddedRedis(path, "queue"),
    }[kind]()
    with server:
        assert path.is_dir()


@pytest.mark.parametrize("name", [ADMIN_TOKEN, SECRET_KEY])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda each: each.__name__)
def test_keys__damaged__are_usable_and_stay(tmp_path: Path, name: str, damage: Damage) -> None:
    remembered_keys(Settings(), tmp_path)
    damage(tmp_path / name)
    made = remembered_keys(Settings(), tmp_path)
    assert made.admin_token.isprintable()
    assert made.admin_token
    assert remembered_keys(Settings(), tmp_path) == made


def test_write_private__is_on_the_disk_before_it_takes_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append((tmp_path / "kept").exists()))
    write_private(tmp_path / "kept", "x")
    assert synced == [False, True]


DATA_FILES = ["orchard.lock", "logs", "logs/gateway.log", "redis-cache/port", "admin-token", "secret-key"]


def test_standalone__every_small_file_is_damaged_between_stop_and_start__starts(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Standalone(data) as orchard:
        orchard.wait_until_ready()
        orchard.process.send_signal(signal.SIGTERM)
        assert orchard.wait_until_over() == 0
    for damage in (emptied, garbage, folder, pipe, link_to_itself):
        for name in DATA_FILES:
            path = data / name
            if path.is_dir():
                shutil.rmtree(path)
                path.write_bytes(b"")
            if not path.parent.is_dir():
                continue
            path.touch()
            damage(path)
        with Standalone(data) as orchard:
            orchard.wait_until_ready()
            assert "Traceback" not in orchard.text
            orchard.process.send_signal(signal.SIGKILL)  # the second start comes right after


@pytest.mark.parametrize(("name", "other"), [("redis-queue", "redis-cache"), ("redis-cache", "gateway")])
def test_standalone__two_remembered_ports_are_one__starts(tmp_path: Path, name: str, other: str) -> None:
    data = tmp_path / "data"
    with Standalone(data) as orchard:
        orchard.wait_until_ready()
        orchard.process.send_signal(signal.SIGTERM)
        assert orchard.wait_until_over() == 0
    again = Standalone(data)
    port = str(again.port) if other == "gateway" else (data / other / "port").read_text()
    (data / name / "port").write_text(port)
    with again as orchard:
        orchard.wait_until_ready()
    assert (data / name / "port").read_text().strip() != port.strip()


def test_standalone__the_data_folder_is_a_file__is_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with Standalone(tmp_path / "data") as orchard:
        assert orchard.wait_until_over() == 2
        assert orchard.text.startswith("ORCHARD_DATA_DIR: cannot write to ")
        assert orchard.text.count("\n") == 1
