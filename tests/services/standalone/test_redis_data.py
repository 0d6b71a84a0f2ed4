"""What the embedded queue Redis of earlier releases wrote down (Redis 6.2, one append-only file) opens."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

import pytest

from services.standalone.redis_server import EmbeddedRedis

# Written by Redis 6.2.14: a base (RDB 9) after BGREWRITEAOF, then a transaction, a script and a ZREM.
WRITTEN_BY_6_2 = base64.b64decode(
    "UkVESVMwMDA5+glyZWRpcy12ZXIGNi4yLjE0+gpyZWRpcy1iaXRzwED6BWN0aW1lws7NC2v6CHVzZWQtbWVtwsiLCQD6DGFvZi1wcmVh"
    "bWJsZcAB/gD7AwAMCWFycTpxdWV1ZSAgAAAAFQAAAAQAAAFhAwMxLjUFAWID4IBRac6aAQAA/wAJYXJxOmpvYjphCQBwYXlsb2Fk/w0P"
    "b3JjaGFyZDpjbGFpbTphJCQAAAAhAAAABAAABW93bmVyBwJ3MQQKZ2VuZXJhdGlvbgz4//8Vzmgg4GZpBSoyDQokNg0KU0VMRUNUDQok"
    "MQ0KMA0KKjENCiQ1DQpNVUxUSQ0KKjMNCiQzDQpTRVQNCiQxOA0Kb3JjaGFyZDpnZW5lcmF0aW9uDQokMQ0KOA0KKjQNCiQ1DQpSUFVT"
    "SA0KJDQNCmxpc3QNCiQxDQp4DQokMQ0KeQ0KKjMNCiQ0DQpTQUREDQokMw0Kc2V0DQokMQ0KbQ0KKjENCiQ0DQpFWEVDDQoqMQ0KJDUN"
    "Ck1VTFRJDQoqNQ0KJDMNClNFVA0KJDcNCmV4cGlyZXMNCiQ1DQpsYXRlcg0KJDQNClBYQVQNCiQxNA0KMTE3OTU5MzU2OTU5MjkNCiox"
    "DQokNA0KRVhFQw0KKjMNCiQ0DQpaUkVNDQokOQ0KYXJxOnF1ZXVlDQokMQ0KYQ0K"
)
EXPECTED = {
    ("STRLEN", "arq:job:a"): b":9",
    ("ZCARD", "arq:queue"): b":1",
    ("HLEN", "orchard:claim:a"): b":2",
    ("INCR", "orchard:generation"): b":9",
    ("LLEN", "list"): b":2",
    ("SISMEMBER", "set", "m"): b":1",
    ("STRLEN", "expires"): b":5",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A queue's folder as an earlier release left it."""
    path = tmp_path / "redis-queue"
    path.mkdir()
    (path / "appendonly.aof").write_bytes(WRITTEN_BY_6_2)
    return path


def test_queue_redis__a_folder_of_redis_6_2__has_all_of_it_now_and_at_the_next_start(folder: Path) -> None:
    with EmbeddedRedis(folder, "queue") as server:
        assert {words: server.command(*words) for words in EXPECTED} == EXPECTED
    with EmbeddedRedis(folder, "queue") as server:
        assert server.command("INCR", "orchard:generation") == b":10"


def test_queue_redis__an_older_release_ran_in_between__goes_on_from_what_that_wrote(folder: Path) -> None:
    with EmbeddedRedis(folder, "queue") as server:
        server.command("SET", "orchard:generation", "1")
    (folder / "appendonly.aof").write_bytes(WRITTEN_BY_6_2)
    with EmbeddedRedis(folder, "queue") as server:
        assert server.command("INCR", "orchard:generation") == b":9"


def test_queue_redis__stopped_between_making_its_folder_and_moving_the_old_file__has_all(
    folder: Path,
) -> None:
    journal = folder / "appendonlydir"
    journal.mkdir()
    (journal / "appendonly.aof.manifest").write_text("file appendonly.aof seq 1 type b\n")
    with EmbeddedRedis(folder, "queue") as server:
        assert server.command("INCR", "orchard:generation") == b":9"


def test_queue_redis__the_old_file_is_damaged__starts_and_puts_it_aside(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    old = folder / "appendonly.aof"
    old.write_bytes(WRITTEN_BY_6_2[:100] + b"\xff" * 40 + WRITTEN_BY_6_2[140:])
    with EmbeddedRedis(folder, "queue") as server:
        assert server.command("INCR", "orchard:generation") == b":1"
    assert capfd.readouterr().err.count("\n") == 1


def test_queue_redis__its_folder_is_copied__has_all_of_it(folder: Path, tmp_path: Path) -> None:
    with EmbeddedRedis(folder, "queue"):
        pass
    shutil.copytree(folder, tmp_path / "copy")
    with EmbeddedRedis(tmp_path / "copy", "queue") as server:
        assert server.command("INCR", "orchard:generation") == b":9"
