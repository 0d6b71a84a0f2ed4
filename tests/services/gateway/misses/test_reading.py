"""One reading of a download for all who follow: read once, hashed once, and nobody waits for the slowest."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from services.gateway.hits.gate import Gate
from services.gateway.misses import reading
from services.gateway.misses.fetchers import SendingBroken
from services.gateway.misses.live import LiveRelay, Transfer
from services.gateway.misses.live_source import TransferBroken
from shared.http.conditions import ByteRange
from shared.models import Standing, StoredFile
from shared.policy.policy import Policy
from shared.queue.events import Event
from shared.queue.jobs import FetchArtifact

PIECE = 1000
DATA = bytes(range(250)) * 80  # 20 pieces
JOB = FetchArtifact(protocol="pypi", project="demo", file_id="x", filename="demo-1.whl")
LIVE = Event(JOB.id, "live", 1, size_bytes=len(DATA), address="127.0.0.1:1", token="t")


def done(data: bytes = DATA) -> Event:
    digest = hashlib.sha256(data).hexdigest()
    facts = StoredFile(digest, len(data), "application/x", f"artifacts/{digest}", JOB.filename)
    return Event(JOB.id, "done", 1, value=msgspec.msgpack.encode(facts))


class Response:
    """The bytes from an offset on, a piece at a time; b"" at the end."""

    status = 200

    def __init__(self, fetcher: Fetcher, offset: int) -> None:
        self.headers = {"x-orchard-size": str(fetcher.size), **fetcher.headers}
        self.closed = False
        self._fetcher, self._offset = fetcher, offset

    async def read(self) -> bytes:
        await self._fetcher.may_send.wait()
        self._fetcher.reads += 1
        data = self._fetcher.data[self._offset : self._offset + PIECE]
        self._offset += len(data)
        if not data and self._fetcher.breaks:
            raise SendingBroken
        return data

    def close(self) -> None:
        self.closed = True


@dataclass
class Fetcher:
    """The pool of connections to fetchers, the queue, and its events: as far as a relay needs them."""

    data: bytes = DATA
    size: int = len(DATA)
    breaks: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    reads: int = 0
    offsets: list[int] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)
    callbacks: list[Any] = field(default_factory=list)
    may_send: asyncio.Event = field(default_factory=asyncio.Event)

    async def request(
        self, address: str, token: str, job_id: str, offset: int, byte_range: bytes
    ) -> Response:
        self.offsets.append(offset)
        self.responses.append(Response(self, offset))
        return self.responses[-1]

    async def read_state(self, job_id: str) -> tuple[Event, None]:
        return LIVE, None  # the claim that stands has the same address and token

    def register(self, job_id: str, callback: Any) -> None:
        self.callbacks.append(callback)

    def unregister(self, job_id: str, callback: Any) -> None:
        self.callbacks.remove(callback)

    async def open_stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        yield DATA[start:end]  # what was stored

    def tell(self, event: Event) -> None:
        for callback in list(self.callbacks):
            callback(event)


class Access:
    policy = Policy()


@pytest.fixture
def fetcher() -> Fetcher:
    made = Fetcher()
    made.may_send.set()
    return made


@pytest.fixture
def relay(fetcher: Fetcher) -> LiveRelay:
    stub: Any = fetcher
    access: Any = Access()
    return LiveRelay(fetchers=stub, queue=stub, listener=stub, facts=stub, objects=stub, gate=Gate(access))


async def opened(relay: LiveRelay, wanted: ByteRange | None = None) -> Transfer:
    transfer = await relay.open(JOB, LIVE, wanted=wanted)
    assert isinstance(transfer, Transfer)
    return transfer


async def all_of(transfer: Transfer) -> bytes:
    try:
        return b"".join([chunk async for chunk in transfer.chunks()])
    finally:
        await transfer.aclose()


async def some_of(chunks: AsyncIterator[bytes], size: int) -> bytes:
    got = b""
    while len(got) < size:
        got += await anext(chunks)
    return got


@pytest.mark.parametrize(
    ("said", "known"),
    [
        ('[7.5, "as told"]', Standing(7.5, "as told")),  # of a fetcher of before
        ('[7.5, "as told", "ab"]', Standing(7.5, "as told", "ab")),  # likewise
        ('[7.5, "as told", "ab", 2.5]', Standing(7.5, "as told", "ab", 2.5)),
        ('[7.5, "as told", "ab", 2.5, "more"]', Standing(7.5, "as told", "ab", 2.5)),  # of a later one
        ('["soon", 1]', Standing(1.0)),
        ("", Standing(1.0)),  # of a fetcher of before
    ],
)
async def test_standing__by_the_fetcher__else_by_the_event(
    relay: LiveRelay, fetcher: Fetcher, said: str, known: Standing
) -> None:
    fetcher.headers = {"x-orchard-standing": said} if said else {}
    event = msgspec.structs.replace(LIVE, published=1.0)
    transfer = await relay.open(JOB, event, wanted=None)
    assert isinstance(transfer, Transfer)
    assert transfer.standing == known
    await transfer.aclose()


async def test_followers__all_at_once__one_request_every_byte_read_once(
    relay: LiveRelay, fetcher: Fetcher
) -> None:
    transfers = await asyncio.gather(*(opened(relay) for _ in range(64)))
    part = await opened(relay, ByteRange(4_321, 5_000))
    assert (part.status, part.size_bytes) == (206, 5_000)
    assert part.content_range == f"bytes 4321-9320/{len(DATA)}"
    following = [asyncio.create_task(all_of(each)) for each in (*transfers, part)]
    while fetcher.reads < len(DATA) // PIECE + 1:  # the last read finds the end
        await asyncio.sleep(0)
    fetcher.tell(done())
    *whole, cut = await asyncio.gather(*following)
    assert set(whole) == {DATA} and cut == DATA[4_321:9_321]
    assert (fetcher.offsets, fetcher.reads) == ([0], len(DATA) // PIECE + 1)
    assert fetcher.responses[0].closed
    assert (relay.readings, relay.held_bytes, fetcher.callbacks) == ({}, 0, [])


async def test_follower__slower_than_the_memory__goes_on_by_itself_and_holds_up_nobody(
    relay: LiveRelay, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "HELD_EACH_BYTES", 4 * PIECE)
    fast, slow = await opened(relay), await opened(relay)
    quick, tardy = fast.chunks(), slow.chunks()
    begun = await some_of(tardy, PIECE)
    most = 0
    got = b""
    while len(got) < 15 * PIECE:
        got += await anext(quick)
        most = max(most, relay.held_bytes)
    assert most <= 4 * PIECE
    begun += await some_of(tardy, 17 * PIECE)
    assert begun == DATA[: len(begun)] and fetcher.offsets == [0, PIECE]
    fetcher.tell(done())
    assert got + b"".join([chunk async for chunk in quick]) == DATA
    assert begun + b"".join([chunk async for chunk in tardy]) == DATA
    await fast.aclose()
    await slow.aclose()
    assert (relay.readings, relay.held_bytes, fetcher.callbacks) == ({}, 0, [])


async def test_follower__that_went_on_by_itself__is_sent_no_end_of_other_bytes(
    relay: LiveRelay, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "HELD_EACH_BYTES", 4 * PIECE)
    fast, slow = await opened(relay), await opened(relay)
    quick, tardy = fast.chunks(), slow.chunks()
    await some_of(tardy, PIECE)
    await some_of(quick, 15 * PIECE)
    fetcher.data = DATA[: 3 * PIECE] + b"X" + DATA[3 * PIECE + 1 :]  # its fetcher begins anew, with others
    await some_of(tardy, 10 * PIECE)
    fetcher.tell(done())
    with pytest.raises(TransferBroken):
        async for _ in tardy:
            pass
    await fast.aclose()
    await slow.aclose()


async def test_newcomer__while_the_beginning_is_held_joins__later_reads_anew_with_those_after_it(
    relay: LiveRelay, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "HELD_EACH_BYTES", 4 * PIECE)
    first = await opened(relay)
    chunks = first.chunks()
    await some_of(chunks, 2 * PIECE)
    second = await opened(relay)
    assert fetcher.offsets == [0]
    await some_of(chunks, 6 * PIECE)
    third, fourth = await opened(relay), await opened(relay)
    assert fetcher.offsets == [0, 0]
    later = asyncio.gather(all_of(second), all_of(third), all_of(fourth))
    while (
        fetcher.reads < 8 + 21 + 21
    ):  # the first stands still; third and fourth; the second, which fell behind
        await asyncio.sleep(0)
    fetcher.tell(done())
    assert set(await later) == {DATA}
    await first.aclose()
    assert (relay.readings, relay.held_bytes, fetcher.callbacks) == ({}, 0, [])


async def test_large_file_one_client__no_more_than_a_piece_is_held(
    relay: LiveRelay, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "HELD_EACH_BYTES", 4 * PIECE)
    only = await opened(relay)
    chunks = only.chunks()
    for _ in range(12):
        await anext(chunks)
    assert relay.held_bytes <= 2 * PIECE  # what came last, and what it is about to take
    await only.aclose()


async def test_many_downloads__together_no_more_than_the_bound(
    relay: LiveRelay, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "HELD_IN_ALL_BYTES", 10 * PIECE)
    transfers = []
    for number in range(8):
        job = msgspec.structs.replace(JOB, file_id=f"x{number}")
        transfer = await relay.open(job, LIVE)
        assert isinstance(transfer, Transfer)
        transfers.append(transfer)
        await some_of(transfer.chunks(), 5 * PIECE)
    assert relay.held_bytes <= 10 * PIECE + 8 * PIECE
    for transfer in transfers:
        await transfer.aclose()
    assert relay.held_bytes == 0


async def test_follower__goes_away_while_all_wait__the_others_go_on(
    relay: LiveRelay, fetcher: Fetcher
) -> None:
    fetcher.may_send.clear()
    transfers = [await opened(relay) for _ in range(3)]
    leaving, *staying = [asyncio.create_task(all_of(each)) for each in transfers]
    await asyncio.sleep(0.01)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    fetcher.may_send.set()
    async with asyncio.timeout(30):
        while fetcher.reads < len(DATA) // PIECE + 1:
            await asyncio.sleep(0)
    fetcher.tell(done())
    assert await asyncio.gather(*staying) == [DATA, DATA]
    assert fetcher.offsets == [0]


async def test_all_go_away_while_they_wait__nothing_is_left(relay: LiveRelay, fetcher: Fetcher) -> None:
    fetcher.may_send.clear()
    tasks = [asyncio.create_task(all_of(await opened(relay))) for _ in range(3)]
    await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert fetcher.responses[0].closed
    assert (relay.readings, relay.held_bytes, fetcher.callbacks) == ({}, 0, [])


async def test_more_bytes_than_announced__broken_off_for_all(relay: LiveRelay, fetcher: Fetcher) -> None:
    fetcher.data = DATA + b"more"
    following = [asyncio.create_task(all_of(await opened(relay))) for _ in range(2)]
    for result in await asyncio.gather(*following, return_exceptions=True):
        assert isinstance(result, TransferBroken) and "more bytes" in str(result)
