"""What is under quarantine follows the verdict, whatever changes that: over all protocols."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from services.fetcher.feeds.quarantine import Quarantine
from shared.access.feeds import FeedState, Project, pack, write_blob, write_state
from shared.access.repository import write_rules
from shared.access.watcher import AccessWatcher
from shared.models import FileName
from shared.policy.advisories import About, Advisory, Span, make_snapshot
from shared.policy.rules import Rules
from shared.process.resources import Resources
from shared.protocols import PROTOCOLS, attests, named_alike, version_key
from shared.settings import load_settings
from shared.stores import Stores, open_stores
from tests.support.rows import row_of

FILES = {  # of each protocol a project and its files, two versions of it
    "pypi": ("evil-x", "evil_x-{}-py3-none-any.whl", "{sha256}"),
    "npm": ("EvilX", "EvilX-{}.tgz", "-"),
    "maven": ("org.evil:Evil.x", "Evil.x-{}.jar", "{version}"),
    "cargo": ("evil_x", "evil_x-{}.crate", "{version}"),
}
OLD, NEW = "1.0.1", "2.0.1"
each_protocol = pytest.mark.parametrize("protocol", [each.name for each in PROTOCOLS])


@dataclass
class Ward:
    """A fetcher's quarantine over real stores, and what operators and feeds say."""

    stores: Stores
    access: AccessWatcher
    quarantine: Quarantine

    async def store(self, protocol: str) -> None:
        """Two versions of a project, from an enabled source."""
        source = await self.stores.database.fetchrow(
            "INSERT INTO upstream_sources (protocol, name, url) VALUES ($1, 'main', 'http://up.example/') "
            "RETURNING id",
            protocol,
        )
        assert source is not None
        project, filename, file_id = FILES[protocol]
        for version in (OLD, NEW):
            content = f"{project} {version}".encode()
            id_ = file_id.format(sha256=hashlib.sha256(content).hexdigest(), version=version)
            file = FileName(protocol, project, id_, filename.format(version))
            await self.stores.artifacts.get_or_create_artifact(
                row_of(file, content, source_id=source["id"], upstream_url="http://up.example/f")
            )

    async def feeds(self, **abouts: About | None) -> list[Project]:
        """These feeds count, and what they say is known here; the projects."""
        states, projects = [], []
        for name, about in abouts.items():
            others = [About("npm", f"other-{name}", (Advisory("MAL-0", True, spans=(Span(),)),))]
            data = make_snapshot([*others, *([about] if about is not None else [])])
            digest = hashlib.sha256(data).hexdigest()
            await write_blob(self.stores.queue_redis, digest, pack(data))
            states.append(FeedState(name, digest, 1, 1.0, 1.0))
            projects += [(about.protocol, about.project)] if about is not None else []
        await write_state(self.stores.queue_redis, states)
        await self.access.feeds.look()
        return projects

    async def says(self, table: str, protocol: str, version: str = "", *, sha256: str = "") -> None:
        """A block or an exemption, known here."""
        project = FILES[protocol][0]
        names = ("", "", "", bytes.fromhex(sha256)) if sha256 else (protocol, project, version, None)
        await self.stores.database.execute(
            f"INSERT INTO {table} (protocol, name, version, sha256, reason) VALUES ($1, $2, $3, $4, 'why')",
            *names,
        )
        if table == "exemptions":
            await self.stores.database.execute("UPDATE exemptions SET covers_malware = true")
        await self.access.refresh()

    async def unsays(self, table: str) -> None:
        await self.stores.database.execute(f"DELETE FROM {table}")
        await self.access.refresh()

    async def held(self) -> set[str]:
        """The versions under quarantine, once this fetcher has followed what was said."""
        await self.stores.queue_redis.command("DEL", "orchard:advisories:settling")
        await self.quarantine.follow()
        return {row["version"] for row in await self.stores.database.fetch("SELECT version FROM quarantine")}

    async def told(self) -> int:
        """How often files were told to be malware."""
        rows = await self.stores.database.fetch("SELECT count FROM events WHERE kind = 'malware_stored'")
        return sum(row["count"] for row in rows)


@pytest_asyncio.fixture
async def ward(store_settings: dict[str, str]) -> AsyncIterator[Ward]:
    async with Resources() as resources:
        stores = await open_stores(resources, load_settings(store_settings))
        access = AccessWatcher(
            stores.database,
            stores.queue_redis,
            named=named_alike,
            order=version_key,
            attests=attests,
        )
        await write_rules(store_settings["ORCHARD_DATABASE_URL"], Rules(feeds=True), 1.0)
        await access.refresh()
        yield Ward(stores, access, Quarantine(stores, access))


def malware(protocol: str, *versions: str) -> About:
    names = next(each.names for each in PROTOCOLS if each.name == protocol)
    listed = tuple(map(names.canonical_version, versions or (NEW,)))
    return About(
        protocol, named_alike(protocol, FILES[protocol][0]), (Advisory("MAL-1", True, versions=listed),)
    )


@each_protocol
async def test_exempt_and_exempt_no_more__leaves_and_comes_back(ward: Ward, protocol: str) -> None:
    await ward.store(protocol)
    await ward.quarantine.settle(await ward.feeds(one=malware(protocol)))
    assert await ward.held() == {NEW}
    assert await ward.told() == 1
    for of in ({"version": NEW}, {"version": ""}):
        await ward.says("exemptions", protocol, **of)
        assert await ward.held() == set()
        await ward.unsays("exemptions")
        assert await ward.held() == {NEW}
    sha256 = hashlib.sha256(f"{FILES[protocol][0]} {NEW}".encode()).hexdigest()
    await ward.says("exemptions", protocol, sha256=sha256)
    assert await ward.held() == set()
    await ward.unsays("exemptions")
    assert await ward.held() == {NEW}


async def test_exemption_is_made_anew__of_malware_too__it_leaves(ward: Ward) -> None:
    await ward.store("npm")
    await ward.quarantine.settle(await ward.feeds(one=malware("npm")))
    project = FILES["npm"][0]
    await ward.stores.database.execute(
        "INSERT INTO exemptions (protocol, name, version, reason) VALUES ('npm', $1, $2, 'why')", project, NEW
    )
    await ward.access.refresh()
    assert await ward.held() == {NEW}
    await ward.unsays("exemptions")
    await ward.says("exemptions", "npm", NEW)
    assert await ward.held() == set()


@each_protocol
@pytest.mark.parametrize("of", [{"version": NEW}, {"version": ""}])
async def test_blocked_by_hand_before_its_advisory_came__is_evidence_all_the_same(
    ward: Ward, protocol: str, of: dict[str, Any]
) -> None:
    await ward.store(protocol)
    await ward.says("blocks", protocol, **of)
    assert await ward.held() == set()
    await ward.quarantine.settle(await ward.feeds(one=malware(protocol)))
    assert await ward.held() == {NEW}
    await ward.unsays("blocks")
    assert await ward.held() == {NEW}


@each_protocol
async def test_block_that_is_more_exact_than_the_exemption__is_held_again(ward: Ward, protocol: str) -> None:
    await ward.store(protocol)
    await ward.quarantine.settle(await ward.feeds(one=malware(protocol, OLD, NEW)))
    await ward.says("exemptions", protocol)
    assert await ward.held() == set()
    await ward.says("blocks", protocol, NEW)
    assert await ward.held() == {NEW}


@each_protocol
async def test_feed_that_is_set_no_more__gives_back_what_it_alone_told(ward: Ward, protocol: str) -> None:
    await ward.store(protocol)
    one, two = malware(protocol, OLD, NEW), malware(protocol, OLD)
    await ward.quarantine.settle(await ward.feeds(one=one, two=two))
    assert await ward.held() == {OLD, NEW}
    await ward.feeds(two=two)
    assert await ward.held() == {OLD}
    await ward.feeds(one=one, two=two)
    assert await ward.held() == {OLD, NEW}
    await write_rules(ward.stores.settings.database_url, Rules(), 1.0)  # no feed is set at all
    await ward.access.refresh()
    assert await ward.held() == set()


async def test_nobody_knows_what_is_malware__nothing_is_given_back(ward: Ward) -> None:
    await ward.store("npm")
    await ward.quarantine.settle(await ward.feeds(one=malware("npm")))
    assert await ward.held() == {NEW}
    blind = AccessWatcher(ward.stores.database, ward.stores.queue_redis)
    await blind.refresh()
    ward.quarantine = Quarantine(ward.stores, blind)
    await ward.stores.queue_redis.command("DEL", "orchard:advisories")
    assert await ward.held() == {NEW}


async def test_fetcher_that_starts__looks_at_what_changed_while_none_was_there(ward: Ward) -> None:
    await ward.store("npm")
    await ward.says("exemptions", "npm", NEW)
    await ward.quarantine.settle(await ward.feeds(one=malware("npm")))
    assert await ward.held() == set()
    await ward.unsays("exemptions")
    ward.quarantine = Quarantine(ward.stores, ward.access)
    assert await ward.held() == {NEW}


async def test_two_fetchers__what_one_has_settled_the_other_tells_not_again(ward: Ward) -> None:
    await ward.store("npm")
    await ward.quarantine.settle(await ward.feeds(one=malware("npm")))
    assert await ward.held() == {NEW}
    ward.quarantine = Quarantine(ward.stores, ward.access)
    assert await ward.held() == {NEW}
    assert await ward.told() == 1
