"""Migrations on a real PostgreSQL: once each, one runner at a time, drift refused, clear exit codes."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import asyncpg
import pytest

from shared.migrations.runner import (
    FOLDER,
    NO_TRANSACTION,
    DriftError,
    MigrationFailed,
    migrate,
    pending_migrations,
    read_migrations,
)

ROOT = Path(__file__).parents[3]


def folder_with(tmp_path: Path, *files: tuple[str, str]) -> Path:
    for name, sql in files:
        (tmp_path / name).write_text(sql)
    return tmp_path


FIRST = ("0001_first.sql", "CREATE TABLE first (id int);")
SECOND = ("0002_second.sql", "CREATE TABLE second (id int); INSERT INTO first VALUES (1);")


async def run(url: str, folder: Path) -> tuple[int, list[str]]:
    lines: list[str] = []
    count = await migrate(url, read_migrations(folder), wait_seconds=2, say=lines.append)
    return count, lines


async def rows(url: str, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(query)
    finally:
        await connection.close()


async def test_migrate__empty_database__all_applied_then_nothing(
    empty_database_url: str, tmp_path: Path
) -> None:
    folder = folder_with(tmp_path, FIRST)
    count, lines = await run(empty_database_url, folder)
    assert count == 1
    assert lines[0].startswith("applied 0001_first in ")
    folder_with(tmp_path, SECOND)
    assert (await run(empty_database_url, folder))[0] == 1
    assert (await run(empty_database_url, folder))[0] == 0
    assert len(await rows(empty_database_url, "SELECT 1 FROM first")) == 1


async def test_migrate__failing_file__rolled_back_and_the_earlier_stand(
    empty_database_url: str, tmp_path: Path
) -> None:
    broken = ("0002_broken.sql", "CREATE TABLE half (id int); SELECT nonsense;")
    folder = folder_with(tmp_path, FIRST, broken)
    with pytest.raises(MigrationFailed, match=r"0002_broken: .*nonsense"):
        await run(empty_database_url, folder)
    tables = await rows(empty_database_url, "SELECT relname FROM pg_class WHERE relname IN ('first', 'half')")
    assert [row["relname"] for row in tables] == ["first"]
    (tmp_path / "0002_broken.sql").unlink()
    folder_with(tmp_path, SECOND)
    assert (await run(empty_database_url, folder))[0] == 1


async def test_migrate__without_a_transaction__index_beside_writers__begun_anew_when_cut_off(
    empty_database_url: str, tmp_path: Path
) -> None:
    index = "CREATE INDEX CONCURRENTLY first_by_id ON first (id);\n"
    again = "DROP INDEX CONCURRENTLY IF EXISTS first_by_id;\n" + index
    name = "0002_index.sql"
    folder = folder_with(tmp_path, FIRST, (name, f"-- no transaction\n{again}SELECT nonsense;\n"))
    with pytest.raises(MigrationFailed, match="nonsense"):
        await run(empty_database_url, folder)
    folder_with(tmp_path, (name, f"-- no transaction\n{again}"))
    writer = await asyncpg.connect(empty_database_url)
    try:
        # Whoever has written and not yet committed holds up the index, and is held up by nothing.
        writing = writer.transaction()
        await writing.start()
        await writer.execute("INSERT INTO first VALUES (1)")
        runs = [asyncio.create_task(run(empty_database_url, folder)) for _ in range(3)]
        async with asyncio.timeout(20):
            waits = "wait_event_type = 'Lock' AND query LIKE '%INDEX CONCURRENTLY%'"
            while not await rows(empty_database_url, f"SELECT 1 FROM pg_stat_activity WHERE {waits}"):
                await asyncio.sleep(0.01)
            await writer.execute("INSERT INTO first VALUES (2)")
            await writing.commit()
            assert sorted([(await each)[0] for each in runs]) == [0, 0, 1]
    finally:
        await writer.close()
    assert await rows(
        empty_database_url, "SELECT 1 FROM pg_index WHERE indisvalid AND indexrelid = 'first_by_id'::regclass"
    )


def test_files__without_a_transaction__every_statement_can_be_repeated() -> None:
    apart = [each for each in read_migrations() if each.sql.startswith(NO_TRANSACTION)]
    assert apart
    for migration in apart:
        lines = [line for line in migration.sql.splitlines() if line and not line.startswith(("--", " "))]
        assert lines[0::2] == [
            f"DROP INDEX CONCURRENTLY IF EXISTS {line.split()[3]};" for line in lines[1::2]
        ]
        assert all(line.startswith("CREATE INDEX CONCURRENTLY ") for line in lines[1::2])


async def test_migrate__applied_file_edited__refused(empty_database_url: str, tmp_path: Path) -> None:
    folder = folder_with(tmp_path, FIRST)
    await run(empty_database_url, folder)
    folder_with(tmp_path, ("0001_first.sql", FIRST[1] + " -- edited"), SECOND)
    with pytest.raises(DriftError, match="0001_first"):
        await run(empty_database_url, folder)
    assert await rows(empty_database_url, "SELECT 1 FROM pg_class WHERE relname = 'second'") == []


async def test_migrate__database_is_newer__left_alone(empty_database_url: str, tmp_path: Path) -> None:
    folder = folder_with(tmp_path, FIRST, SECOND)
    await run(empty_database_url, folder)
    (tmp_path / SECOND[0]).unlink()
    count, lines = await run(empty_database_url, folder)
    assert count == 0
    assert lines == ["the database is newer (0002) than these files (0001)"]


async def test_migrate__several_runners_at_once__each_file_once(empty_database_url: str) -> None:
    counts = await asyncio.gather(*(run(empty_database_url, FOLDER) for _ in range(4)))
    assert sum(count for count, _ in counts) == len(read_migrations())


def test_pending__gap_in_what_was_applied__refused(tmp_path: Path) -> None:
    first, second = read_migrations(folder_with(tmp_path, FIRST, SECOND))
    with pytest.raises(DriftError, match="0001_first was never applied"):
        pending_migrations([first, second], {2: second.checksum})


@pytest.mark.parametrize("name", ["1_short.sql", "0001-dash.sql", "0003_gap.sql"])
def test_files__misnamed_or_out_of_order__refused(tmp_path: Path, name: str) -> None:
    folder_with(tmp_path, FIRST, (name, "SELECT 1"))
    with pytest.raises(ValueError, match=name.removesuffix(".sql")):
        read_migrations(tmp_path)


# --- the command -------------------------------------------------------------------------------------


def command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ORCHARD_")}
    return subprocess.run(
        [sys.executable, "-m", "shared.migrations", *arguments],
        cwd=ROOT,
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_command__twice__progress_then_up_to_date(empty_database_url: str) -> None:
    first = command(ORCHARD_DATABASE_URL=empty_database_url)
    assert first.returncode == 0, first.stderr
    assert "applied 0001_initial in" in first.stdout
    second = command(ORCHARD_DATABASE_URL=empty_database_url)
    assert (second.returncode, second.stdout) == (0, "migrations: the database is up to date\n")


async def test_command__drift__exit_3(empty_database_url: str) -> None:
    assert (await asyncio.to_thread(command, ORCHARD_DATABASE_URL=empty_database_url)).returncode == 0
    await rows(empty_database_url, "UPDATE schema_migrations SET checksum = 'other' WHERE version = 1")
    result = await asyncio.to_thread(command, ORCHARD_DATABASE_URL=empty_database_url)
    assert result.returncode == 3
    assert result.stderr.startswith("migrations: drift: 0001_initial")


@pytest.mark.parametrize("variables", [{}, {"ORCHARD_DATABASE_URL": "mysql://x:hunter2@a.example.com/"}])
def test_command__no_usable_address__exit_2_and_one_line(variables: dict[str, str]) -> None:
    result = command(**variables)
    assert result.returncode == 2
    assert result.stderr.startswith("migrations: ORCHARD_DATABASE_URL: ")
    assert len(result.stderr.splitlines()) == 1
    assert "hunter2" not in result.stderr


def test_command__server_away__waits_then_exit_4(unused_tcp_port: int) -> None:
    url = f"postgresql://u:hunter2@127.0.0.1:{unused_tcp_port}/x"
    result = command("--wait", "0.5", ORCHARD_DATABASE_URL=url)
    assert result.returncode == 4
    assert "waiting up to 0.5 s for PostgreSQL" in result.stdout
    assert result.stderr.startswith("migrations: ORCHARD_DATABASE_URL: ")
    assert "hunter2" not in result.stdout + result.stderr


def test_command__help__names_exit_codes() -> None:
    result = command("--help")
    assert result.returncode == 0
    assert "exit codes" in result.stdout


@pytest.mark.parametrize(
    "release", ["5980050e1bed07da6c1c6f1d33571f15feecb985", "1c5c242ac236c75ea4c5543df593e22a1e8c7826"]
)
def test_released_migrations__as_they_were_applied__are_taken_for_todays(
    release: str, tmp_path: Path
) -> None:
    packed = subprocess.run(["git", "archive", release, "shared/migrations"], cwd=ROOT, capture_output=True)
    if packed.returncode:
        pytest.skip("the history of this repository is not here")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(tmp_path, filter="data")
    applied = {each.version: each.checksum for each in read_migrations(tmp_path / "shared" / "migrations")}
    pending = pending_migrations(read_migrations(), applied)
    assert [each.version for each in pending][:1] == [len(applied) + 1]
