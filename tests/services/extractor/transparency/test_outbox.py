"""What the triggers collect: each admission, change and rule once, in the transaction that makes it so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import asyncpg

from services.gateway.api.admin.event_rows import EventRepository
from services.gateway.api.admin.repository import Actor
from shared.migrations.runner import FOLDER, migrate, read_migrations
from shared.models import FileName
from shared.tlog.proofs import read_bundle
from shared.transparency.reader import LogReader
from shared.transparency.rows import LogRows
from tests.services.extractor.conftest import House
from tests.services.extractor.transparency.logs import keeper, whole_log
from tests.support.rows import row_of

WHEEL = FileName("pypi", "demo", "f" * 64, "demo-1.0-py3-none-any.whl")
ACTOR = Actor("tester")


async def entries(house: House) -> list[dict[str, Any]]:
    """All that is logged now, checked as a whole."""
    await keeper(house.stores).run()
    await house.queue_redis.command("DEL", "orchard:tlog:writer")
    size = (await whole_log(house.stores)).size
    if not size:
        return []
    data = await LogReader(LogRows(house.database), house.stores.objects).bundle(0, size)
    return [json.loads(each) for each in read_bundle(data or b"")]


async def test_a_stored_file__one_entry_that_says_all_that_is_known(house: House) -> None:
    added = await house.database.fetchrow(
        "INSERT INTO upstream_sources (protocol, name, url) "
        "VALUES ('pypi', 'main', 'https://one.example/simple/') RETURNING id"
    )
    assert added is not None
    row = row_of(
        WHEEL,
        b"content",
        source_id=added["id"],
        upstream_url="https://files.example/demo.whl",
        checked={"index": "sha256"},
        digests={"sha1": "0" * 40},
    )
    for _ in range(2):
        await house.artifacts.get_or_create_artifact(row)
    (entry,) = await entries(house)
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "format": 1,
        "kind": "admission",
        "protocol": "pypi",
        "project": "demo",
        "version": "1",
        "file": "demo-1.0-py3-none-any.whl",
        "role": "file",
        "size": 7,
        "digests": {"sha1": "0" * 40, "sha256": row.stored.sha256},
        "source": {
            "name": "main",
            "address": "https://one.example/simple/",
            "url": "https://files.example/demo.whl",
        },
        "checked": {"index": "sha256"},
    }


async def test_a_source_that_was_removed_is_still_named(house: House) -> None:
    added = await house.database.fetchrow(
        "INSERT INTO upstream_sources (protocol, name, url) "
        "VALUES ('pypi', 'gone', 'https://one.example/') RETURNING id"
    )
    assert added is not None
    await house.database.execute("DELETE FROM upstream_sources")
    await house.artifacts.get_or_create_artifact(row_of(WHEEL, b"content", source_id=added["id"]))
    (entry,) = await entries(house)
    assert entry["source"]["name"] == "gone" and "checked" not in entry


async def test_metadata__logged_once_it_is_pinned(house: House) -> None:
    name = FileName("pypi", "demo", "f" * 64, "demo-1.0-py3-none-any.whl.metadata")
    await house.artifacts.get_or_create_artifact(row_of(name, b"early", role="provisional"))
    assert await entries(house) == []
    await house.artifacts.seal_metadata(row_of(name, b"true", role="metadata"))
    (entry,) = await entries(house)
    assert (entry["role"], entry["size"]) == ("metadata", 4)


async def test_a_changed_upstream_and_its_acceptance_are_entries(house: House) -> None:
    old, new = row_of(WHEEL, b"old"), row_of(WHEEL, b"new")
    await house.artifacts.get_or_create_artifact(old)
    detail = {"sealed_sha256": old.stored.sha256, "upstream_sha256": new.stored.sha256}
    for _ in range(3):  # told again: the event's count, and no entry
        await house.artifacts.record_event("upstream_mutated", "pypi", "demo", WHEEL.filename, detail)
    await house.artifacts.record_event("object_decayed", "pypi", "demo", WHEEL.filename, {})
    events = EventRepository(house.database)
    (found,) = await house.database.fetch("SELECT id FROM events WHERE kind = 'upstream_mutated'")
    assert await events.accept(ACTOR, found["id"], 1)
    assert await events.undo(ACTOR, found["id"])
    assert await events.accept(ACTOR, found["id"], 2)
    await house.artifacts.get_or_create_artifact(new)
    logged = await entries(house)
    assert [each["kind"] for each in logged] == [
        *("admission", "mutated", "accepted", "admission", "accepted.undone", "accepted", "admission")
    ]
    for each in logged[1], logged[2]:
        assert (each["digests"]["sha256"], each["found"]) == (old.stored.sha256, new.stored.sha256)
        assert each["file"] == WHEEL.filename
    assert logged[-1]["digests"]["sha256"] == new.stored.sha256


async def test_rules_set_and_lifted_are_entries_without_anybodys_words(house: House) -> None:
    await house.database.execute(
        "INSERT INTO blocks (protocol, name, version, reason) "
        "VALUES ('pypi', 'demo', '1.0', 'my secret words')"
    )
    await house.database.execute("INSERT INTO blocks (sha256, reason) VALUES ($1, 'x')", bytes(32))
    await house.database.execute("DELETE FROM blocks")
    await house.database.execute(
        "INSERT INTO exemptions (protocol, name, reason) VALUES ('pypi', 'demo', 'x')"
    )
    await house.database.execute("DELETE FROM exemptions")
    logged = await entries(house)
    assert sorted(each["kind"] for each in logged) == [
        *("block.lifted", "block.lifted", "block.set", "block.set", "exemption.lifted", "exemption.set")
    ]
    assert logged[0]["project"] == "demo" and logged[0]["version"] == "1.0"
    assert logged[1]["digests"] == {"sha256": "00" * 32}
    assert "secret" not in json.dumps(logged) and "reason" not in json.dumps(logged)


async def test_what_cannot_be_committed_is_not_logged(house: House) -> None:
    connection = await asyncpg.connect(house.settings.database_url)
    try:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("INSERT INTO blocks (sha256, reason) VALUES ($1, 'x')", bytes(32))
        await transaction.rollback()
    finally:
        await connection.close()
    assert await entries(house) == []


async def test_what_was_stored_before_the_log__comes_first_once_and_in_order(
    empty_database_url: str, tmp_path: Path
) -> None:
    """Also what services of the version before store between the two migrations."""
    log = next(each.version for each in read_migrations() if each.name.endswith("_transparency_log"))

    async def up_to(version: int) -> None:
        for path in FOLDER.glob("*.sql"):
            if int(path.name[:4]) <= version:
                (tmp_path / path.name).write_bytes(path.read_bytes())
        await migrate(empty_database_url, read_migrations(tmp_path), wait_seconds=2, say=lambda _: None)

    await up_to(log - 1)
    connection = await asyncpg.connect(empty_database_url)
    try:
        await connection.execute(
            "INSERT INTO projects (name) VALUES ('_pypi');"
            "INSERT INTO packages (protocol, name, owner) VALUES ('pypi', 'demo', '_pypi')"
        )

        async def store(number: int, days_ago: int, role: str = "file") -> None:
            digest = bytes([number]) * 32
            await connection.execute(
                "INSERT INTO artifacts (sha256, size_bytes, content_type, object_key) "
                "VALUES ($1, $2, '', 'x')",
                digest,
                number,
            )
            await connection.execute(
                "INSERT INTO cached_urls "
                "(protocol, project, file_id, filename, sha256, role, generation, created_at) "
                "VALUES ('pypi', 'demo', $1, $2, $3, $4, 1, now() - $5 * interval '1 day')",
                *(f"{number}", f"demo-{number}.whl", digest, role, days_ago),
            )

        await store(3, 10)
        await store(1, 30)
        await store(9, 5, "provisional")
        await connection.execute(
            "INSERT INTO blocks (protocol, name, reason, created_at) "
            "VALUES ('pypi', 'demo', 'x', now() - interval '20 days')"
        )
        await up_to(log)
        await store(4, 0)
        await up_to(log + 1)
        await store(5, 0)
        rows = await connection.fetch("SELECT kind, body ->> 'size' AS size FROM log_outbox ORDER BY id")
    finally:
        await connection.close()
    assert [(row["kind"], row["size"]) for row in rows] == [
        ("admission", "1"),
        ("block.set", None),
        ("admission", "3"),
        ("admission", "4"),
        ("admission", "5"),
    ]
