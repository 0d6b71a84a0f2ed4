"""Tokens at the gateway: what is remembered, what is forgotten, when use is written down.

Whoever sends wrong tokens is slowed, and nobody else is.
"""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest

from services.gateway.door import access as module
from services.gateway.door.access import GUESS_SECONDS, OPERATOR, Access, Guesses
from shared.access.bounds import Bounds, bounded_digest
from shared.access.feeds import FeedState, pack, write_blob, write_state
from shared.access.repository import AccessRepository, AccessState, KnownToken
from shared.access.tokens import digest_of
from shared.access.watcher import AccessWatcher
from shared.errors import Forbidden, TooManyGuesses, Unauthorized
from shared.errors.passing import AccessUnknown
from shared.models import FORMAT
from shared.policy.advisories import About, Advisory, Span, make_snapshot
from shared.policy.verdict import by_hand
from shared.postgres.database import Database
from shared.process.resources import Resources
from shared.redis.client import RedisClient
from shared.settings import Settings, load_settings
from shared.stores import open_redis_pair

ADMIN = "operators-token"


def known(number: int, token: str, scope: str = "read") -> KnownToken:
    return KnownToken(number, f"t{number}", scope, digest_of(token.encode()).hex())


def state(revision: int, *tokens: KnownToken) -> AccessState:
    return AccessState(1, revision, tokens)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    made = Database(database_url, max_size=4)
    await made.open()
    yield made
    await made.aclose()


@pytest.fixture
def access(database: Database) -> Access:
    settings = Settings(anonymous_read=False, admin_token=ADMIN)
    return Access(settings, AccessRepository(database))


def test_grant__by_bearer_and_by_any_user_name__the_same_token(access: Access) -> None:
    access.changed(state(1, known(1, "secret")))
    for header in (b"Bearer secret", b"Basic " + b64encode(b"a:secret"), b"Basic " + b64encode(b"b:secret")):
        assert access.grant(header).name == "t1"
        assert access.grant(header).name == "t1"  # from memory


def test_changed__token_is_gone__remembered_headers_are_forgotten(access: Access) -> None:
    access.changed(state(1, known(1, "secret"), known(2, "other")))
    assert access.grant(b"Bearer secret").id == 1
    access.changed(state(2, known(2, "other")))
    with pytest.raises(Unauthorized):
        access.grant(b"Bearer secret")
    assert access.grant(b"Bearer other").id == 2


def test_grant__token_is_over__refused_also_where_its_header_is_remembered(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_800_000_000.0
    monkeypatch.setattr(module.time, "time", lambda: now)
    digest = bounded_digest(digest_of(b"secret")).hex()
    access.changed(state(1, KnownToken(1, "t1", "read", digest, Bounds(expires_at=now + 1))))
    assert access.grant(b"Bearer secret").id == 1
    assert access.by_digest(digest, "") is not None
    now += 1
    with pytest.raises(Unauthorized):
        access.grant(b"Bearer secret")
    assert access.by_digest(digest, "") is None, "nor does a session of it go on"
    assert access.name_of(b"Bearer secret") == "t1", "the ledger tells who was refused"


def test_grant__before_any_list_is_known__the_operators_alone_others_are_asked_to_wait(
    access: Access,
) -> None:
    assert access.administrator(f"Bearer {ADMIN}".encode()).name == OPERATOR
    with pytest.raises(AccessUnknown):
        access.grant(b"Bearer perhaps")
    with pytest.raises(Unauthorized):
        access.grant(None)


def test_administrator__read_token__forbidden_by_name(access: Access) -> None:
    access.changed(state(1, known(1, "secret"), known(2, "boss", "admin")))
    with pytest.raises(Forbidden, match="t1 has the scope read"):
        access.administrator(b"Bearer secret")
    assert access.administrator(b"Bearer boss").name == "t2"


async def test_remembered_headers__many_spellings__are_bounded(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 10)
    access = Access(Settings(anonymous_read=False), AccessRepository(database))
    access.changed(state(1, known(1, "secret")))
    for number in range(50):
        access.grant(b"Basic " + b64encode(f"user{number}:secret".encode()))
        assert len(access._remembered) <= 10
    too_long = b"Basic " + b64encode(b"u" * 600 + b":secret")  # good, and not kept
    assert access.grant(too_long).id == 1
    assert too_long not in access._remembered


async def test_use__written_down_at_the_end_and_no_change_of_tokens(
    access: Access, database: Database
) -> None:
    row = await database.fetchrow(
        "INSERT INTO access_tokens (name, scope, digest) VALUES ('t', 'read', $1) RETURNING id",
        digest_of(b"secret"),
    )
    assert row is not None
    repository = AccessRepository(database)
    access.changed(await repository.load())
    before = await repository.revision()
    await access.open()
    assert access.grant(b"Bearer secret").id == row["id"]
    await access.aclose()
    used = await database.fetchrow("SELECT last_used_at FROM access_tokens")
    assert used is not None and used["last_used_at"] is not None
    assert await repository.revision() == before


# --- watching -------------------------------------------------------------------------------------------


@pytest.fixture
async def queue_redis(store_settings: dict[str, str]) -> AsyncIterator[RedisClient]:
    async with Resources() as resources:
        _, queue = await open_redis_pair(resources, load_settings(store_settings))
        yield queue


async def test_watcher__rows_changed_by_hand__heard_of_and_copied(
    database: Database, queue_redis: RedisClient
) -> None:
    watcher = AccessWatcher(database, queue_redis)
    await watcher.open()
    assert watcher.state is not None and not watcher.policy.any
    await database.execute("INSERT INTO blocks (protocol, name, reason) VALUES ('pypi', 'evil', 'why')")
    await _until(lambda: watcher.policy.of("pypi", "evil").whole == by_hand("why"))
    await watcher.aclose()
    away = Database("postgresql://nobody@127.0.0.1:1/none", max_size=1)
    await away.open()
    late = AccessWatcher(away, queue_redis)
    await late.open()
    assert late.policy.of("pypi", "evil").whole == by_hand("why")  # out of the copy
    await late.aclose()
    await away.aclose()


async def test_watcher__taking_over_a_change_fails__tried_again(
    database: Database, queue_redis: RedisClient
) -> None:
    taken: list[int] = []
    faults = [ValueError("not foreseen")]

    def take(state: AccessState | None) -> None:
        if faults:
            raise faults.pop()
        assert state is not None
        taken.append(state.revision)

    watcher = AccessWatcher(database, queue_redis, take)
    await watcher.open()
    await _until(lambda: len(taken) == 1)
    await database.execute("INSERT INTO blocks (protocol, name, reason) VALUES ('pypi', 'evil', 'why')")
    await _until(lambda: len(taken) == 2)
    await watcher.aclose()


async def test_watcher__advisories_come_before_any_state__whoever_asked_is_told(
    database: Database, queue_redis: RedisClient
) -> None:
    taken: list[AccessState | None] = []
    watcher = AccessWatcher(database, queue_redis, taken.append)
    data = make_snapshot([About("npm", "evil", (Advisory("MAL-1", True, spans=(Span(),)),))])
    digest = hashlib.sha256(data).hexdigest()
    await write_blob(queue_redis, digest, pack(data))
    await write_state(queue_redis, [FeedState("feed", digest, 1, 1.0, 1.0)])
    await watcher.feeds.look()
    assert taken == [None], "what is in memory may be of before"


async def test_watcher__end_of_an_exemption_cannot_be_told_once__it_ends_all_the_same(
    database: Database, queue_redis: RedisClient
) -> None:
    faults: list[Exception] = []

    def take(_: AccessState | None) -> None:
        if faults:
            raise faults.pop()

    watcher = AccessWatcher(database, queue_redis, take)
    await watcher.open()
    await database.execute(
        "INSERT INTO exemptions (protocol, name, reason, expires_at)"
        " VALUES ('pypi', 'demo', 'why', now() + interval '3 seconds')"
    )
    await _until(lambda: len(watcher.policy.exemptions) == 1)
    faults.append(ValueError("not foreseen"))
    await _until(lambda: not watcher.policy.exemptions)
    assert not faults
    await watcher.aclose()


async def _until(condition: Callable[[], bool]) -> None:

    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


MOST_WRONG = 10


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("guesser", "same", "other"),
    [
        ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
        ("2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1"),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.7", "::ffff:192.0.2.8"),
    ],
)
def test_guesses__one_address__waits_out_its_minute_and_no_other_does(
    guesser: str, same: str, other: str
) -> None:
    clock = Clock()
    guesses = Guesses(MOST_WRONG, clock)
    for _ in range(MOST_WRONG):
        assert guesses.wait_seconds(same) == 0
        guesses.note(guesser)
    assert guesses.wait_seconds(same) == GUESS_SECONDS
    assert guesses.wait_seconds(other) == 0
    clock.now = GUESS_SECONDS
    assert guesses.wait_seconds(same) == 0


async def test_token_that_was_good_here__stays_good_beside_a_guesser_and_after_any_change() -> None:
    settings = Settings(admin_token="an-operators-token-9", anonymous_read=False)
    access = Access(settings, cast(AccessRepository, None))
    good = b"Bearer an-operators-token-9"
    access.changed(AccessState(FORMAT, 1))
    access.grant(good, "192.0.2.7")
    for _ in range(MOST_WRONG):
        with pytest.raises((Unauthorized, TooManyGuesses)):
            access.grant(b"Bearer a-wrong-one", "192.0.2.7")
    access.changed(AccessState(FORMAT, 1))
    assert access.grant(good, "192.0.2.7").scope == "admin"
    with pytest.raises(TooManyGuesses):
        access.grant(b"Bearer another-wrong-one", "192.0.2.7")


async def test_guess_that_is_right__of_a_guesser_who_has_to_wait__is_not_looked_at() -> None:
    settings = Settings(admin_token="an-operators-token-9", anonymous_read=False)
    access = Access(settings, cast(AccessRepository, None))
    access.changed(AccessState(FORMAT, 1))
    for number in range(MOST_WRONG):
        with pytest.raises((Unauthorized, TooManyGuesses)):
            access.grant(b"Bearer guess-%d" % number, "192.0.2.7")
    with pytest.raises(TooManyGuesses):
        access.grant(b"Bearer an-operators-token-9", "192.0.2.7")
    assert access.grant(b"Bearer an-operators-token-9", "192.0.2.8").scope == "admin"
