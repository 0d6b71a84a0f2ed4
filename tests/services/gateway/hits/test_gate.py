"""What may go out: never the whole of a file before it was verified, and nothing that is blocked by now."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.gateway.hits.gate import HELD_BYTES, MOST_FILES, EarlyBytes, Gate, Pass
from services.gateway.serving.ports import Known, Reply
from shared.access.watcher import AccessWatcher
from shared.errors import Blocked
from shared.errors.passing import AdvisoriesUnknown
from shared.http.conditions import ByteRange
from shared.models import FileName
from shared.policy.named import Licences, NamedRule
from shared.policy.policy import Policy
from shared.policy.rules import AgeRule, Block, Rules
from shared.policy.verdict import Subject
from shared.postgres.database import Database
from shared.protocols import protocol_named
from shared.redis.client import RedisClient
from tests.services.gateway.conftest import Stores

SIZE = 100_000


def test_limit__the_last_kilobyte_and_of_short_files_a_half() -> None:
    early = EarlyBytes()
    assert early.limit("a", SIZE) == SIZE - HELD_BYTES
    assert [early.limit("a", size) for size in (1, 2, 10)] == [0, 1, 5]


def test_ranges__only_until_half_of_the_file_is_out_and_again_and_again_the_same() -> None:
    early = EarlyBytes()
    for _ in range(3):
        assert early.may_relay("a", 0, SIZE // 2, SIZE)
        early.note("a", 0, SIZE // 2)
    assert not early.may_relay("a", SIZE - 1, SIZE, SIZE)
    assert early.may_relay("b", SIZE - 1, SIZE, SIZE)


def test_range_after_a_whole_transfer__waits() -> None:
    early = EarlyBytes()
    early.note("a", 0, SIZE - HELD_BYTES)
    assert not early.may_relay("a", SIZE - 10, SIZE, SIZE)


def test_whole_after_a_tail__holds_back_what_stands_before_it() -> None:
    early = EarlyBytes()
    early.note("a", 10, 20)
    early.note("a", SIZE - 16_000, SIZE)
    early.note("a", SIZE - 17_000, SIZE - 15_000)
    assert early.limit("a", SIZE) == SIZE - 17_000 - HELD_BYTES


def test_sealed_or_crowded_out__is_forgotten() -> None:
    early = EarlyBytes()
    early.note("a", 0, SIZE)
    early.forget("a")
    assert early.may_relay("a", 0, 10, SIZE)
    early.note("a", 0, SIZE)
    for number in range(MOST_FILES):
        early.note(str(number), 0, 1)
    assert early.may_relay("a", 0, 10, SIZE)


# --- blocks that come meanwhile ---------------------------------------------------------------------------

PYPI = protocol_named("pypi")
DIGEST = "a" * 64
FILE = PYPI.grammar.artifact_resource(FileName("pypi", "demo", DIGEST, "demo-1.0-py3-none-any.whl"))


class Streamed:
    """A body that is not in memory."""

    path = ""
    closed = False

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b"x"

    async def aclose(self) -> None:
        self.closed = True


@pytest_asyncio.fixture
async def access(stores: Stores) -> AccessWatcher:
    watcher = AccessWatcher(stores.database, stores.queue_redis)
    await watcher.refresh()
    return watcher


async def _block_bytes(stores: Stores, access: AccessWatcher) -> None:
    await stores.database.execute(
        "INSERT INTO blocks (sha256, reason) VALUES ($1, 'it steals')", bytes.fromhex(DIGEST)
    )
    await access.refresh()


async def test_let_out__blocked_while_it_was_made__refused_and_its_body_closed(
    stores: Stores, access: AccessWatcher
) -> None:
    gate, body = Gate(access), Streamed()
    await _block_bytes(stores, access)
    with pytest.raises(Blocked):
        await gate.let_out(PYPI, FILE, Reply(200, "HIT", [], body=body, file=Known(DIGEST)))
    assert body.closed
    with pytest.raises(Blocked):
        await gate.let_out(PYPI, FILE, Reply(200, "HIT", [], body=b"x", file=Known(DIGEST)))


async def test_let_out__no_advisories_known__refused_and_its_body_closed(
    access: AccessWatcher,
) -> None:
    gate, body = Gate(access), Streamed()
    access.policy = Policy((), Rules(feeds=True))
    with pytest.raises(AdvisoriesUnknown):
        await gate.let_out(PYPI, FILE, Reply(200, "LIVE", [], body=body, file=Known(DIGEST)))
    assert body.closed


async def test_recheck__blocked_while_it_is_sent__its_sending_is_ended_and_others_go_on(
    stores: Stores, access: AccessWatcher
) -> None:
    gate = Gate(access)
    other = PYPI.grammar.artifact_resource(FileName("pypi", "other", "b" * 64, "other-1.0-py3-none-any.whl"))
    passages = [
        await gate.let_out(PYPI, each, Reply(200, "LIVE", [], body=Streamed())) for each in (FILE, other)
    ]
    sent = asyncio.Event()

    async def send(number: int) -> None:
        passage = passages[number]
        assert passage is not None
        with passage:
            await sent.wait()

    sending = [asyncio.create_task(send(number)) for number in (0, 1)]
    await asyncio.sleep(0)
    await _block_bytes(stores, access)
    gate.recheck()
    sent.set()
    ended = await asyncio.gather(*sending, return_exceptions=True)
    assert [type(each) for each in ended] == [asyncio.CancelledError, type(None)]
    assert passages[0] is not None and passages[0].stopped is not None


async def test_recheck__blocked_file_that_the_server_sends_by_itself__forgotten_and_cut(
    stores: Stores, access: AccessWatcher
) -> None:
    gate = Gate(access)
    gate.sends(("192.0.2.1", 1), Pass(Subject("pypi", "demo", "1.0", DIGEST)))
    gate.sends(("192.0.2.1", 2), Pass(Subject("pypi", "demo", "1.0", "b" * 64)))
    await _block_bytes(stores, access)
    gate.recheck()
    assert list(gate.by_path) == [("192.0.2.1", 2)]


AGED = Rules(ages={"": AgeRule(7 * 86_400.0)})
FED = Rules(feeds=True)
HELD = NamedRule("no", licences=Licences(unknown="hold"))
BLOCK, OTHER = (Block(1, "it steals", "pypi", "demo", version) for version in ("1", "2"))
CHANGES: dict[str, tuple[Policy, bool]] = {  # policy that comes meanwhile → whether it ends it
    "age, of no known date": (Policy((), AGED), False),
    "a date, of no known date": (Policy((), Rules(nothing_after=1.0)), False),
    "advisories, which nobody knows yet": (Policy((), FED), False),
    "the policy file, which nobody asked yet": (Policy(named_rules=[HELD]), False),
    "provenance, which nobody asked yet": (Policy((), Rules(trust="no-downgrade")), False),
    "a block of another version, of no known date": (Policy([OTHER], AGED), False),
    "a block": (Policy([BLOCK]), True),
    "a block, where its date is not known": (Policy([BLOCK], AGED), True),
    "a block, while no advisories are known": (Policy([BLOCK], FED), True),
    "a name that is refused, where its date is not known": (
        Policy((), AGED, named_rules=[NamedRule("no", refuse=True)]),
        True,
    ),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_recheck__ends_what_is_refused_now__and_nothing_that_is_not_judged_yet(change: str) -> None:
    database = Database("postgresql://127.0.0.1:1/none", max_size=1)
    access = AccessWatcher(database, RedisClient(host="127.0.0.1", port=1, role="queue"))
    gate = Gate(access)
    passage = await gate.let_out(PYPI, FILE, Reply(200, "LIVE", [], body=Streamed(), file=Known(DIGEST)))
    assert passage is not None
    access.policy, ends = CHANGES[change]
    with contextlib.suppress(asyncio.CancelledError), passage:
        passage.by_server(("192.0.2.1", 1))
        gate.recheck()
        await asyncio.sleep(0)
    assert (passage.stopped is not None, not gate.by_path) == (ends, ends)
    with pytest.raises((Blocked, AdvisoriesUnknown)):  # who asks for it now does not get it
        await gate.let_out(PYPI, FILE, Reply(200, "LIVE", [], body=Streamed(), file=Known(DIGEST)))


async def test_may_pass_on__no_digest_is_promised__waits_for_the_verdict(access: AccessWatcher) -> None:
    gate, first = Gate(access), ByteRange(0, 10)
    assert not gate.may_pass_on("job", first, 1000, "")
    assert not gate.may_pass_on("job", first, None, DIGEST)
    assert gate.may_pass_on("job", first, 1000, DIGEST)
    assert not gate.may_pass_on("job", ByteRange(10, 900), 1000, DIGEST)
