"""Kept graphs and locks that name something blocked, in whichever part of them it stands."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from shared.access.repository import AccessState
from shared.access.watcher import AccessWatcher
from shared.errors import Blocked
from shared.judging import kept as module
from shared.judging.kept import BlockedGraphs
from shared.policy.rules import Block
from shared.policy.verdict import Verdict
from shared.postgres.database import Database
from shared.redis import clock
from shared.redis.client import RedisClient

GOOD = {"name": "org.x:good", "version": "1.0", "sha256": "a" * 64}
EVIL = {"name": "org.x:evil", "version": "1.0", "sha256": "e" * 64}
NOTHING: dict[str, Any] = {"packages": []}


@pytest.fixture
def watcher() -> AccessWatcher:
    """Not opened: only what it was told counts."""
    database = Database("postgresql://127.0.0.1:1/none", max_size=1)
    return AccessWatcher(database, RedisClient(host="127.0.0.1", port=1, role="queue"))


def told(watcher: AccessWatcher, revision: int, *blocks: Block) -> None:
    watcher._take(AccessState(1, revision, (), blocks))


def graphs_of(watcher: AccessWatcher) -> BlockedGraphs:
    """Of blocks alone: nothing is looked up for these."""
    return BlockedGraphs(watcher, cast(Any, None), cast(Any, None))


LOCKS = {
    "package": {"packages": [GOOD, EVIL]},
    "document": {"packages": [GOOD], "documents": [EVIL]},
    "package of a plugin": {**NOTHING, "plugins": [{"packages": [GOOD]}, {"packages": [EVIL]}]},
    "package that another is built with": {**NOTHING, "builds": [{"packages": [GOOD, EVIL]}]},
    "document of a plugin": {**NOTHING, "plugins": [{"packages": [GOOD], "documents": [EVIL]}]},
}


@pytest.mark.parametrize("part", LOCKS.values(), ids=LOCKS.keys())
@pytest.mark.parametrize(
    "block",
    [
        Block(1, "it steals", "maven", "org.x:evil"),
        Block(1, "it steals", "maven", "org.x:evil", "1.0"),
        Block(1, "it steals", sha256="e" * 64),
    ],
    ids=["name", "version", "bytes"],
)
async def test_lock__names_something_blocked__refused_until_lifted(
    watcher: AccessWatcher, part: dict[str, Any], block: Block
) -> None:
    graphs = graphs_of(watcher)
    body = msgspec.json.encode({"format": 1, "protocols": {"pypi": NOTHING, "maven": part}})
    await graphs.check(body)
    told(watcher, 1, block)
    for _ in range(2):  # the second time from memory
        with pytest.raises(Blocked, match="it steals"):
            await graphs.check(body)
    told(watcher, 2)
    await graphs.check(body)


async def test_graph__made_of_a_blocked_pom__refused(watcher: AccessWatcher) -> None:
    graphs = graphs_of(watcher)
    documents = [{"project": "org.x:evil", "file_id": "1.0", "filename": "evil-1.0.pom"}]
    body = msgspec.json.encode({"request": {"protocol": "maven"}, "nodes": [GOOD], "documents": documents})
    told(watcher, 1, Block(1, "it steals", "maven", "org.x:evil", "1.1"))
    await graphs.check(body)
    told(watcher, 2, Block(2, "it steals", "maven", "org.x:evil", "1.0"))
    with pytest.raises(Blocked, match=r"org\.x:evil 1\.0"):
        await graphs.check(body)


async def test_lock__holds_a_build_of_a_blocked_snapshot__refused(watcher: AccessWatcher) -> None:
    build = {"name": "org.x:evil", "version": "1.0-20260101.010101-1"}
    told(watcher, 1, Block(1, "it steals", "maven", "org.x:evil", "1.0-SNAPSHOT"))
    with pytest.raises(Blocked):
        await graphs_of(watcher).check(msgspec.json.encode({"protocols": {"maven": {"packages": [build]}}}))


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"nodes": 1}', b'{"protocols": []}'])
async def test_answer_that_cannot_be_judged__refused_while_anything_is_blocked(
    watcher: AccessWatcher, body: bytes
) -> None:
    graphs = graphs_of(watcher)
    await graphs.check(body)
    told(watcher, 1, Block(1, "it steals", "maven", "org.x:evil"))
    with pytest.raises(Blocked):
        await graphs.check(body)


async def test_verdicts__large_bodies__not_held(
    watcher: AccessWatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REMEMBERED_BYTES", 4096)
    graphs = graphs_of(watcher)
    told(watcher, 1, Block(1, "it steals", "maven", "org.x:evil"))
    for number in range(20):
        await graphs.check(msgspec.json.encode({"number": number, "padding": "x" * 1000}))
    assert sum(map(len, graphs._verdicts)) <= 4096


async def test_allowed_for_a_time__judged_again_when_the_first_of_that_ends(
    watcher: AccessWatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody could verify these yet, say: by then somebody may have."""
    until = {"1.0": 0.0, "2.0": 300.0, "3.0": 200.0}
    said = {version: Verdict(True, "unverified", until=end) for version, end in until.items()}

    async def load_listing(stores: object, protocol: object, project: str) -> Any:
        return SimpleNamespace(project=project)

    async def run(function: Any, *arguments: Any) -> Any:
        return function(*arguments)

    judged = SimpleNamespace(verdict=lambda version, sha256: said[version])
    monkeypatch.setattr(module, "load_listing", load_listing)
    monkeypatch.setattr(module, "judge", lambda *_: judged)
    monkeypatch.setattr(clock, "now", lambda: 100.0)
    graphs = BlockedGraphs(watcher, cast(Any, None), cast(Any, SimpleNamespace(run=run)))
    told(watcher, 1, Block(1, "it steals", sha256="e" * 64))
    packages = [{"name": f"org.x:{name}", "version": version} for name in "ab" for version in until]
    body = msgspec.json.encode({"protocols": {"maven": {"packages": packages}}})
    await graphs.check(body)
    assert graphs.is_allowed(body)
    said["3.0"] = Verdict(False, "trust", "it has no provenance")
    monkeypatch.setattr(clock, "now", lambda: 200.0)
    assert not graphs.is_allowed(body)
    with pytest.raises(Blocked, match="no provenance"):
        await graphs.check(body)
