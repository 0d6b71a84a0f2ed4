"""Sources in a real PostgreSQL: the environment's rows follow it, a change is known within a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest

from services.fetcher.sources.repository import EnvSource, SourceRepository, SourceSet, match_rows
from services.fetcher.sources.watcher import SourceWatcher
from shared.errors import ConfigurationError
from shared.errors.passing import CacheUnavailable
from shared.models import UpstreamSource
from shared.postgres.database import Database
from shared.settings import load_settings
from shared.sources.box import SealingBox
from shared.sources.options import SourceOptions
from shared.sources.urls import SourceAddress, split_credentials

A, B, C = (SourceAddress(f"https://{name}.example.com/simple/") for name in "abc")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    await database.open()
    yield database
    await database.aclose()


@pytest.fixture
def repository(database: Database) -> SourceRepository:
    return SourceRepository(database, SealingBox([bytes(32)]))


async def enabled(repository: SourceRepository) -> list[tuple[int, str]]:
    return [(source.id, source.url) for source in await repository.list("pypi") if source.enabled]


# --- matching (pure) ------------------------------------------------------------------------------


def row(id_: int, url: str, position: int | None) -> EnvSource:
    return EnvSource(id_, f"s{id_}", url, position)


@pytest.mark.parametrize(
    ("rows", "urls", "expected"),
    [
        ([], ["a", "b"], [0, 0]),
        ([row(1, "a", 1), row(2, "b", 2)], ["a", "b"], [1, 2]),
        ([row(1, "a", 1), row(2, "b", 2)], ["b", "a"], [2, 1]),  # reordered: ids follow the URLs
        ([row(1, "a", 1), row(2, "b", 2)], ["a", "c"], [1, 2]),  # edited: the id follows the position
        ([row(1, "a", 1)], ["c", "a"], [0, 1]),  # one put in front
        ([row(1, "a", 1), row(2, "b", 2)], ["b"], [2]),  # one removed
        ([row(1, "a", None)], ["a"], [1]),  # one come back
        ([row(1, "a", None)], ["c"], [0]),  # a row no longer named gives its id to nobody else
        ([row(1, "a", 1)], ["a", "a"], [1, 0]),
    ],
)
def test_match_rows__url_then_position(rows: list[EnvSource], urls: list[str], expected: list[int]) -> None:
    assert match_rows(rows, urls) == expected


# --- following the environment ----------------------------------------------------------------------


async def test_sync__first_time__rows_in_order_with_names(repository: SourceRepository) -> None:
    await repository.sync("pypi", [A, SourceAddress(B.url, "me", "secret")])
    first, second = await repository.list("pypi")
    assert (first.name, first.url, first.enabled) == ("pypi", A.url, True)
    assert (second.name, second.username, second.password) == ("pypi-2", "me", "secret")
    assert first.priority < second.priority
    assert await repository.revision("pypi") > 0


async def test_sync__same_values_again__raises_no_revision(repository: SourceRepository) -> None:
    await repository.sync("pypi", [A, B])
    before = await repository.revision("pypi")
    await repository.sync("pypi", [A, B])
    assert await repository.revision("pypi") == before


async def test_sync__changed_password__same_row_new_revision(repository: SourceRepository) -> None:
    await repository.sync("pypi", [SourceAddress(A.url, "me", "old")])
    before = await repository.load("pypi")
    await repository.sync("pypi", [SourceAddress(A.url, "me", "new")])
    after = await repository.load("pypi")
    assert after.revision > before.revision
    assert (after.sources[0].id, after.sources[0].password) == (before.sources[0].id, "new")


async def test_sync__edited_address__changes_its_row(repository: SourceRepository) -> None:
    await repository.sync("pypi", [A, B])
    ids = [id_ for id_, _ in await enabled(repository)]
    await repository.sync("pypi", [A, C])
    assert await enabled(repository) == [(ids[0], A.url), (ids[1], C.url)]


async def test_sync__options_in_the_address__followed_else_left_as_they_are(
    repository: SourceRepository, database: Database
) -> None:
    await repository.sync("pypi", [split_credentials("https://a.example.com/#absent=403", "X")])
    assert (await repository.list("pypi"))[0].options == SourceOptions(absent_statuses=(403,))
    await repository.sync("pypi", [split_credentials("https://a.example.com/", "X")])
    assert (await repository.list("pypi"))[0].options == SourceOptions(absent_statuses=(403,))
    await repository.sync("pypi", [split_credentials("https://a.example.com/#merge=corp", "X")])
    assert (await repository.list("pypi"))[0].options == SourceOptions(merge="corp")
    await database.execute(
        """UPDATE upstream_sources SET options = '{"merge": "b", "of_a_newer_version": 1}'"""
    )
    assert (await repository.list("pypi"))[0].options == SourceOptions(merge="b")


async def test_sync__reordered__ids_stay_with_their_urls(repository: SourceRepository) -> None:
    await repository.sync("pypi", [A, B])
    (first, _), (second, _) = await enabled(repository)
    await repository.sync("pypi", [B, A])
    assert await enabled(repository) == [(second, B.url), (first, A.url)]


async def test_sync__removed_then_back__disabled_then_the_same_row(repository: SourceRepository) -> None:
    await repository.sync("pypi", [A, B])
    before = await enabled(repository)
    await repository.sync("pypi", [A])
    assert await enabled(repository) == before[:1]
    assert len(await repository.list("pypi")) == 2  # kept, so that its pins and patterns still close names
    await repository.sync("pypi", [A, B])
    assert await enabled(repository) == before


async def test_sync__row_disabled_by_an_operator__stays_disabled(
    database: Database, repository: SourceRepository
) -> None:
    await repository.sync("pypi", [A, B])
    await database.execute("UPDATE upstream_sources SET enabled = false, priority = 7 WHERE url = $1", A.url)
    await repository.sync("pypi", [A, B])
    first, _ = await repository.list("pypi")
    assert (first.url, first.enabled, first.priority) == (A.url, False, 7)


async def test_sync__rows_of_operators_and_other_protocols__untouched(
    database: Database, repository: SourceRepository
) -> None:
    await database.execute(
        "INSERT INTO upstream_sources (protocol, name, url, include, max_connections)"
        " VALUES ('pypi', 'pypi', $1, $2, 5), ('npm', 'npm', $1, '{}', 0)",
        B.url,
        ["acme-*"],
    )
    await repository.sync("pypi", [A])
    await repository.sync("pypi", [])
    assert [(source.name, source.enabled) for source in await repository.list("pypi")] == [
        ("pypi", True),
        ("pypi-2", False),
    ]
    operators = (await repository.list("pypi"))[0]
    assert operators.include == ("acme-*",)
    assert operators.limits.max_connections == 5
    assert (await repository.list("npm"))[0].enabled


async def test_sync__many_processes_at_once__one_row_each_and_enabled(repository: SourceRepository) -> None:
    await asyncio.gather(*(repository.sync("pypi", [A, B, C]) for _ in range(8)))
    assert [url for _, url in await enabled(repository)] == [A.url, B.url, C.url]
    assert len(await repository.list("pypi")) == 3


async def test_rows__credentials_in_the_url__refused_by_the_table(database: Database) -> None:
    with pytest.raises(Exception, match="upstream_sources_url_check"):
        await database.execute(
            "INSERT INTO upstream_sources (protocol, name, url) VALUES ('pypi', 'x', 'https://u:p@a.example.com/')"
        )


async def test_sync_from_settings__variable__rows_and_origin(repository: SourceRepository) -> None:
    text = "https://u:p%40@a.example.com/simple,http://127.0.0.1:3141/simple/"
    settings = load_settings({"ORCHARD_PYPI_UPSTREAM": text})
    assert await repository.sync_from_settings(settings, ["pypi"], {}) == {"pypi": "ORCHARD_PYPI_UPSTREAM"}
    first, second = await repository.list("pypi")
    assert (first.url, first.username, first.password) == (A.url, "u", "p@")
    # Its own host each may reach; what its pages name is another matter (services/fetcher/http/egress.py).
    assert (first.allow_private, second.allow_private) == (False, False)


async def test_sync_from_settings__unset__the_clients_own_index(repository: SourceRepository) -> None:
    environ = {"PIP_INDEX_URL": "https://u:hunter2@a.example.com/simple"}
    origins = await repository.sync_from_settings(load_settings({}), ["pypi"], environ)
    assert origins == {"pypi": "PIP_INDEX_URL"}
    (source,) = await repository.list("pypi")
    assert (source.url, source.password, source.allow_private) == (A.url, "hunter2", False)


async def test_sync_from_settings__unusable__names_the_variable(repository: SourceRepository) -> None:
    settings = load_settings({"ORCHARD_PYPI_UPSTREAM": "https://a.example.com/?x=hunter2"})
    with pytest.raises(ConfigurationError, match="ORCHARD_PYPI_UPSTREAM") as caught:
        await repository.sync_from_settings(settings, ["pypi"], {})
    assert "hunter2" not in str(caught.value)


async def test_sync_from_settings__password_without_a_key_and_no_database__said_at_once() -> None:
    away = SourceRepository(Database("postgresql://127.0.0.1:1/none"))
    secret = "https://me:hunter2@b.example.com/"  # pragma: allowlist secret
    settings = load_settings({"ORCHARD_PYPI_UPSTREAM": A.url, "ORCHARD_NPM_UPSTREAM": secret})
    with pytest.raises(ConfigurationError, match="ORCHARD_SECRET_KEY"):
        await away.sync_from_settings(settings, ["pypi", "npm"], {})


# --- revisions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE upstream_sources SET enabled = false",
        "UPDATE upstream_sources SET include = '{x}'",
        "UPDATE upstream_sources SET password = 'p'",
        "DELETE FROM upstream_sources",
        "INSERT INTO upstream_sources (protocol, name, url) VALUES ('pypi', 'n', 'https://n.example.com/')",
    ],
)
async def test_revision__any_change_by_hand__raised(
    database: Database, repository: SourceRepository, statement: str
) -> None:
    await repository.sync("pypi", [A])
    before = await repository.revision("pypi")
    await database.execute(statement)
    assert await repository.revision("pypi") > before


async def test_revision__update_that_changes_nothing__not_raised(
    database: Database, repository: SourceRepository
) -> None:
    await repository.sync("pypi", [A])
    before = await repository.revision("pypi")
    await database.execute("UPDATE upstream_sources SET url = url, enabled = true")
    assert await repository.revision("pypi") == before


async def test_revision__database_made_anew__not_below_what_a_cache_may_hold(
    repository: SourceRepository,
) -> None:
    earlier = int(time.time() * 1000) - 60_000  # what another database could have given a minute ago
    await repository.sync("pypi", [A])
    assert await repository.revision("pypi") > earlier


# --- watching --------------------------------------------------------------------------------------------


class Revisions:
    """Stands for the cache's one method; can be away."""

    def __init__(self) -> None:
        self.raised: dict[str, int] = {}
        self.away = False

    async def raise_revision(self, protocol: str, revision: int) -> int:
        if self.away:
            raise CacheUnavailable("away")
        self.raised[protocol] = max(revision, self.raised.get(protocol, 0))
        return self.raised[protocol]


class Watched:
    def __init__(self, database: Database) -> None:
        self.cache = Revisions()
        self.sets: list[SourceSet] = []
        self.fail = False
        self.watcher = SourceWatcher(database, self.cache, self._changed, protocols=["pypi"])

    async def _changed(self, sources: SourceSet) -> None:
        if self.fail:
            self.fail = False
            raise ValueError("a fault of the listener")
        assert self.cache.raised.get(sources.protocol, 0) >= sources.revision  # the cache knows it first
        self.sets.append(sources)

    def sources(self) -> tuple[UpstreamSource, ...]:
        return self.sets[-1].sources if self.sets else ()


@pytest.fixture
async def watched(database: Database) -> AsyncIterator[Watched]:
    watched = Watched(database)
    await watched.watcher.open()
    await until(lambda: watched.watcher.connected and len(watched.sets) == 1)
    yield watched
    await watched.watcher.aclose()


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> float:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "did not happen in time"
        await asyncio.sleep(0.005)
    return time.monotonic() - started


async def test_watcher__source_disabled__known_within_a_second(
    database: Database, repository: SourceRepository, watched: Watched
) -> None:
    await repository.sync("pypi", [A])
    await until(lambda: [source.enabled for source in watched.sources()] == [True])
    await database.execute("UPDATE upstream_sources SET enabled = false")
    await until(lambda: [source.enabled for source in watched.sources()] == [False], seconds=1.0)
    assert watched.cache.raised["pypi"] == await repository.revision("pypi")
    current = watched.watcher.current("pypi")
    assert current is not None and current == watched.sets[-1]


async def test_watcher__change_while_the_connection_is_killed__read_after_reconnect(
    database_url: str, repository: SourceRepository, watched: Watched
) -> None:
    killer = await asyncpg.connect(database_url)
    await killer.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await killer.execute(
        "INSERT INTO upstream_sources (protocol, name, url) VALUES ('pypi', 'n', 'https://n.example.com/')"
    )
    await killer.close()
    await until(lambda: [source.name for source in watched.sources()] == ["n"])
    assert watched.watcher.connected


async def test_watcher__cache_away__told_when_it_is_back(
    repository: SourceRepository, watched: Watched
) -> None:
    watched.cache.away = True
    await repository.sync("pypi", [A])
    await asyncio.sleep(0.2)
    assert watched.sources() == ()
    watched.cache.away = False
    await until(lambda: len(watched.sources()) == 1)


async def test_watcher__listener_raises__called_again(repository: SourceRepository, watched: Watched) -> None:
    watched.fail = True
    await repository.sync("pypi", [A])
    await until(lambda: len(watched.sources()) == 1)


async def test_watcher__other_protocol_changes__not_bothered(
    repository: SourceRepository, watched: Watched
) -> None:
    await repository.sync("npm", [A])
    await repository.sync("pypi", [B])
    await until(lambda: len(watched.sets) == 2)
    assert [one.protocol for one in watched.sets] == ["pypi", "pypi"]


async def test_source_watcher__opened__has_the_sources_of_all_protocols(database: Database) -> None:
    """Jobs begin right after: one that found none would fail."""
    protocols = ["cargo", "maven", "npm", "pypi"]
    watched = Watched(database)
    watcher = SourceWatcher(database, watched.cache, watched._changed, protocols=protocols)
    await watcher.open()
    try:
        assert None not in [watcher.current(protocol) for protocol in protocols]
    finally:
        await watcher.aclose()
