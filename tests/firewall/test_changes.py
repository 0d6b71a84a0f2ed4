"""What a change brings: time passes, a rule is switched on, an exemption is made and is over. Two gateways,
hot pages and hot files."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest

from shared.policy.age import Seen
from tests.firewall.shelves import DAY, OLD, SHELVES, YOUNG, Shelf, moment
from tests.support.orchard import JSON, Cluster, cluster, statuses, wait_until
from tests.support.stores import ROOT
from tests.support.upstream import Upstream

WEEK = 7 * DAY
kinds = pytest.mark.parametrize("kind", SHELVES)
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("changes"), upstream, gateways=2) as running:
        yield running


class Rules:
    """Puts rules in force, as a deployment's migrations step does."""

    def __init__(self, orchard: Cluster) -> None:
        self.orchard = orchard

    def put(self, **settings: str) -> None:
        env = {name: value for name, value in os.environ.items() if not name.startswith("ORCHARD_")}
        env["ORCHARD_DATABASE_URL"] = self.orchard.database_url
        done = subprocess.run(
            [sys.executable, "-m", "shared.migrations"], cwd=ROOT, env=env | settings, capture_output=True
        )
        assert done.returncode == 0, done.stderr.decode()


@pytest.fixture
def rules(orchard: Cluster) -> Iterator[Rules]:
    found = Rules(orchard)
    yield found
    found.put()


def sql(orchard: Cluster, statement: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(orchard.database_url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


def new(orchard: Cluster, upstream: Upstream, kind: str) -> Shelf:
    return SHELVES[kind](orchard, upstream, f"change-{next(_numbers)}")


def shown(orchard: Cluster, it: Shelf) -> list[list[str]]:
    answers = [
        httpx.get(each.base + it.page, headers={"accept": JSON}, timeout=30, trust_env=False)
        for each in orchard.all_of("gateway")
    ]
    assert {answer.status_code for answer in answers} == {200}
    return [it.listed(answer.text) for answer in answers]


def heat(orchard: Cluster, *paths: str) -> None:
    for path in paths:
        for _ in range(3):
            statuses(orchard, path)


@kinds
def test_time__a_version_comes_of_age__it_is_there_by_itself_on_hot_pages_and_nobody_asks_the_registry(
    orchard: Cluster, upstream: Upstream, rules: Rules, kind: str
) -> None:
    rules.put(ORCHARD_MINIMUM_AGE="7d")
    it = new(orchard, upstream, kind)
    it.put({"1.0.0": OLD, "2.0.0": WEEK - 6})
    wait_until(lambda: statuses(orchard, it.file("2.0.0")) == [403, 403], what="the refusal")
    assert shown(orchard, it) == [["1.0.0"]] * 2
    heat(orchard, it.page)
    before = upstream.count()
    wait_until(lambda: shown(orchard, it) == [["1.0.0", "2.0.0"]] * 2, what="the version's coming of age")
    assert upstream.count() == before
    wait_until(lambda: statuses(orchard, it.file("2.0.0")) == [200, 200], what="its file")


@kinds
def test_rule_is_switched_on__what_was_stored_stays_and_what_was_not_goes(
    orchard: Cluster, upstream: Upstream, rules: Rules, kind: str
) -> None:
    it = new(orchard, upstream, kind)
    it.put({"1.0.0": OLD, "2.0.0": YOUNG, "3.0.0": YOUNG})
    heat(orchard, it.page, it.file("2.0.0"))
    rules.put(ORCHARD_MINIMUM_AGE="7d")
    wait_until(lambda: statuses(orchard, it.file("3.0.0")) == [403, 403], what="the rule")
    # Maven's metadata dates its newest version alone: the others are held by their files.
    wait_until(lambda: shown(orchard, it) == [["1.0.0", "2.0.0"]] * 2, what="the page under the rule")
    assert statuses(orchard, it.file("2.0.0")) == [200, 200]
    rules.put(ORCHARD_MINIMUM_AGE="7d", ORCHARD_STORED_STAY="false")
    wait_until(lambda: statuses(orchard, it.file("2.0.0")) == [403, 403], what="the stored file's refusal")
    wait_until(lambda: shown(orchard, it) == [["1.0.0"]] * 2, what="the page without it")


@pytest.mark.parametrize("age", [None, -DAY])
def test_maven__undated_file_of_a_version_that_the_list_lacks__is_seen_just_now(
    orchard: Cluster, upstream: Upstream, rules: Rules, age: float | None
) -> None:
    rules.put(ORCHARD_MINIMUM_AGE="7d")
    it = new(orchard, upstream, "maven")
    it.put({"1.0.0": OLD, "1.1.0": YOUNG})
    wait_until(lambda: statuses(orchard, it.file("1.1.0")) == [403, 403], what="the rule")
    known_for_long = msgspec.msgpack.encode(Seen(1.0)).hex()
    sql(orchard, f"UPDATE first_seen SET seen = '\\x{known_for_long}' WHERE project LIKE '%:{it.name}'")
    it.put({"1.0.0": OLD, "1.1.0": YOUNG, "2.0.0": age})
    assert statuses(orchard, it.file("2.0.0")) == [403, 403]
    assert statuses(orchard, it.file("2.0.0")) == [403, 403]


def test_maven__undated_file_that_is_stored__was_published_when_it_was_stored_at_the_latest(
    orchard: Cluster, upstream: Upstream, rules: Rules
) -> None:
    it = new(orchard, upstream, "maven")
    it.put({"1.0.0": OLD, "2.0.0": None})
    heat(orchard, it.file("2.0.0"))
    it.put({"1.0.0": OLD})
    rules.put(ORCHARD_MINIMUM_AGE="7d", ORCHARD_STORED_STAY="false")
    wait_until(lambda: statuses(orchard, it.file("2.0.0")) == [403, 403], what="the rule")
    dated = f"SELECT FROM cached_urls WHERE project LIKE '%:{it.name}' AND published <= created_at"
    sql(orchard, f"DO $$ BEGIN ASSERT EXISTS ({dated}); END $$")


def test_maven__young_sources_of_an_old_version__refused_alone(
    orchard: Cluster, upstream: Upstream, rules: Rules
) -> None:
    rules.put(ORCHARD_MINIMUM_AGE="7d")
    it = new(orchard, upstream, "maven")
    it.put({"1.0.0": OLD, "1.1.0": YOUNG, "1.2.0": YOUNG})
    sources = it.file("1.0.0").replace(".jar", "-sources.jar")
    upstream.put(sources, upstream.reply(it.file("1.1.0")))
    wait_until(lambda: statuses(orchard, it.file("1.1.0")) == [403, 403], what="the rule")
    assert statuses(orchard, sources) == [403, 403]
    assert upstream.count(sources) == 1
    assert statuses(orchard, it.file("1.0.0")) == [200, 200]
    wait_until(lambda: shown(orchard, it) == [["1.0.0"]] * 2, what="the page")


STORED_WAYS: dict[str, tuple[str, dict[str, str]]] = {
    "whole": ("GET", {}),
    "head": ("HEAD", {}),
    "range": ("GET", {"range": "bytes=0-"}),
    "tail": ("GET", {"range": "bytes=-100"}),
    "again": ("GET", {"if-modified-since": "Fri, 01 Jan 2100 00:00:00 GMT"}),
}


@kinds
def test_stored_file_that_may_not_stay__no_way_gives_a_byte_hot_or_not(
    orchard: Cluster, upstream: Upstream, rules: Rules, kind: str
) -> None:
    it = new(orchard, upstream, kind)
    it.put({"1.0.0": OLD, "2.0.0": YOUNG})
    paths = (it.file("2.0.0"), *it.beside("2.0.0"))
    heat(orchard, it.page, it.file("1.0.0"), *paths)
    rules.put(ORCHARD_MINIMUM_AGE="7d", ORCHARD_STORED_STAY="false")
    wait_until(lambda: statuses(orchard, it.file("2.0.0")) == [403, 403], what="the rule")
    for path in paths:
        for gateway in orchard.all_of("gateway"):
            for way, (method, headers) in STORED_WAYS.items():
                answer = httpx.request(
                    method, gateway.base + path, headers=headers, timeout=30, trust_env=False
                )
                assert answer.status_code == 403, (path, way)
    assert statuses(orchard, it.file("1.0.0")) == [200, 200]


@kinds
def test_hard_date__spares_nothing(orchard: Cluster, upstream: Upstream, rules: Rules, kind: str) -> None:
    it = new(orchard, upstream, kind)
    it.put({"1.0.0": OLD, "2.0.0": YOUNG})
    heat(orchard, it.page, it.file("2.0.0"))
    rules.put(ORCHARD_NOTHING_AFTER=moment(10 * DAY))
    wait_until(lambda: statuses(orchard, it.file("2.0.0")) == [403, 403], what="the hard date")
    wait_until(lambda: shown(orchard, it) == [["1.0.0"]] * 2, what="the page before that date")
    assert statuses(orchard, it.file("1.0.0")) == [200, 200]


@kinds
def test_exemption__lets_in_at_once_and_holds_back_when_it_is_over(
    orchard: Cluster, upstream: Upstream, rules: Rules, kind: str
) -> None:
    rules.put(ORCHARD_MINIMUM_AGE="7d")
    it = new(orchard, upstream, kind)
    it.put({"1.0.0": OLD, "2.0.0": YOUNG})
    name = f"org.example:{it.name}" if it.protocol == "maven" else it.name
    version = "2" if it.protocol == "pypi" else "2.0.0"
    wait_until(lambda: statuses(orchard, it.file("2.0.0")) == [403, 403], what="the refusal")
    sql(
        orchard,
        "INSERT INTO exemptions (protocol, name, version, reason, expires_at) VALUES "
        f"('{it.protocol}', '{name}', '{version}', 'needed', now() + interval '6 seconds')",
    )
    wait_until(lambda: statuses(orchard, it.file("2.0.0")) == [200, 200], what="the exemption")
    assert shown(orchard, it) == [["1.0.0", "2.0.0"]] * 2
    heat(orchard, it.page, it.file("2.0.0"))
    wait_until(lambda: statuses(orchard, it.file("2.0.0")) == [403, 403], what="the end of the exemption")
    wait_until(lambda: shown(orchard, it) == [["1.0.0"]] * 2, what="the page after it")


def test_hard_date__maven_names_a_stored_version_itself__it_is_not_resolved(
    orchard: Cluster, upstream: Upstream, rules: Rules
) -> None:
    it = new(orchard, upstream, "maven")
    it.put({"1.0.0": OLD, "2.0.0": YOUNG})
    body = {"protocol": "maven", "requirements": [f"org.example:{it.name}:2.0.0"]}

    def resolved() -> tuple[int, str]:
        answer = httpx.post(orchard.url("/api/v1/resolve"), json=body, timeout=30, trust_env=False)
        return answer.status_code, answer.text

    heat(orchard, it.page, it.file("2.0.0"), *it.beside("2.0.0"))
    rules.put(ORCHARD_NOTHING_AFTER=moment(10 * DAY))
    wait_until(lambda: statuses(orchard, it.file("2.0.0")) == [403, 403], what="the hard date")
    wait_until(lambda: resolved()[0] != 202, what="the resolution")
    status, text = resolved()
    assert status == 404 and "after" in text, text


ASKED = {"pypi": "{}", "npm": "{}@*", "cargo": "{}", "maven": "org.example:{}:2.0.0"}


@pytest.mark.parametrize("kind", ASKED)
@pytest.mark.parametrize("stored", [True, False])
def test_kept_resolution_and_lock__hold_a_version_that_may_not_be_served_now__are_refused(
    orchard: Cluster, upstream: Upstream, rules: Rules, kind: str, stored: bool
) -> None:
    it = new(orchard, upstream, kind)
    it.put({"1.0.0": OLD, "2.0.0": YOUNG})
    if stored:
        heat(orchard, it.page, it.file("2.0.0"), *it.beside("2.0.0"))
    requirement = ASKED[kind].format(it.name)
    tables = {"npm": f'dependencies = {{ {it.name} = "*" }}', "maven": f'dependencies = ["{requirement}"]'}
    table = tables.get(kind, f'requirements = ["{requirement}"]')
    asked: dict[str, dict[str, Any]] = {
        "resolve": {"json": {"protocol": kind, "requirements": [requirement]}},
        "ensure": {"content": f"[{kind}]\n{table}\n"},
    }
    if not stored:  # an ensure stores it
        del asked["ensure"]

    def answer(what: str) -> httpx.Response:
        return httpx.post(orchard.url(f"/api/v1/{what}"), **asked[what], timeout=30, trust_env=False)

    for what in asked:
        wait_until(lambda what=what: answer(what).status_code == 200, seconds=30, what=what)
    kept = answer("ensure").json()["key"] if stored else ""
    rules.put(ORCHARD_MINIMUM_AGE="7d", ORCHARD_STORED_STAY="false")
    for what in asked:
        wait_until(lambda what=what: answer(what).status_code == 403, what=f"the refusal of {what}")
        told = answer(what).json()
        assert told["code"] == "too_young" and "refresh=true" in told["detail"]
        assert it.name in told["detail"]
    if kept:
        assert orchard.get(f"/api/v1/ensures/{kept}").status_code == 403
    rules.put()
    for what in asked:
        wait_until(lambda what=what: answer(what).status_code == 200, what=f"{what} without the rule")


@pytest.mark.parametrize("kind", {**ASKED, "maven": "org.example:{}:[1.0.0,3.0.0)"}.items(), ids=ASKED)
def test_kept_resolution__that_a_rule_refuses_now__is_not_taken_by_an_ensure(
    orchard: Cluster, upstream: Upstream, rules: Rules, kind: tuple[str, str]
) -> None:
    """Of an ensure whose lock is kept no more, and whose resolution is."""
    protocol, pattern = kind
    it = new(orchard, upstream, protocol)
    it.put({"1.0.0": OLD, "2.0.0": YOUNG})
    requirement = pattern.format(it.name)
    tables = {"npm": f'dependencies = {{ {it.name} = "*" }}', "maven": f'dependencies = ["{requirement}"]'}
    table = tables.get(protocol, f'requirements = ["{requirement}"]')

    def ensured() -> httpx.Response:
        text = f"[{protocol}]\n{table}\n"
        return httpx.post(orchard.url("/api/v1/ensure"), content=text, timeout=30, trust_env=False)

    def versions() -> list[str]:
        wait_until(lambda: ensured().status_code != 202, seconds=60, what="the lock")
        lock = ensured().json()
        assert lock["complete"], lock
        return [each["version"] for each in lock["protocols"][protocol]["packages"]]

    assert versions() == ["2.0.0"]
    rules.put(ORCHARD_MINIMUM_AGE="7d", ORCHARD_STORED_STAY="false")
    wait_until(lambda: ensured().status_code == 403, seconds=30, what="the rule")
    sql(orchard, "DELETE FROM ensures")
    with orchard.client(orchard.cache) as cache:
        cache.flushall()
    wait_until(lambda: ensured().status_code != 403, seconds=30, what="the lock's loss")
    assert versions() == ["1.0.0"]
