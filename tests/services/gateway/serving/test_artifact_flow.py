"""The policy of `serve_artifact`, over ports in memory."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec
import pytest

from services.gateway.serving.artifact_flow import PART_BYTES, serve_artifact
from services.gateway.serving.ports import Reply
from shared.errors import (
    DigestMismatch,
    FileNotFound,
)
from shared.http.conditions import ByteRange, Conditions
from shared.models import SourceHeaders, Standing
from shared.protocols.resource import Resource
from shared.queue.events import Event
from shared.queue.jobs import AnyJob, DescribeArtifact, FetchArtifact
from tests.support.ports import MemoryBody, MemoryWorld

PAGE = Resource(
    protocol="toy",
    kind="index",
    identity="simple/a",
    project="a",
    representation="json",
    content_type="x/json",
)
DATA = bytes(range(256)) * 40
DIGEST = hashlib.sha256(DATA).hexdigest()
FILE = Resource(
    protocol="toy", kind="artifact", identity=f"a/{DIGEST}/a-1.whl", project="a",
    file_id=DIGEST, filename="a-1.whl", sha256=DIGEST,
)  # fmt: skip
PLAIN = Conditions()
V = "json.identity"


def headers(reply: Reply) -> dict[bytes, bytes]:
    return dict(reply.headers)


@pytest.fixture
def world() -> MemoryWorld:
    return MemoryWorld()


# --- artifacts ----------------------------------------------------------------------------------


async def body_of(reply: Reply) -> bytes:
    assert isinstance(reply.body, MemoryBody)
    return b"".join([chunk async for chunk in reply.body.chunks()])


async def test_artifact__sealed__is_served_whole(world: MemoryWorld) -> None:
    world.store(FILE, DATA)
    reply = await serve_artifact(FILE, PLAIN, world.ports)
    assert (reply.status, reply.cache, await body_of(reply)) == (200, "HIT", DATA)
    assert headers(reply)[b"etag"] == f'"{DIGEST}"'.encode()
    assert headers(reply)[b"cache-control"] == b"max-age=31536000, immutable"
    assert headers(reply)[b"content-length"] == b"%d" % len(DATA)
    assert headers(reply)[b"content-disposition"] == b'attachment; filename="a-1.whl"'
    assert headers(reply)[b"last-modified"] == b"Tue, 14 Nov 2023 22:13:20 GMT"


@pytest.mark.parametrize(
    ("filename", "told"),
    [(FILE.filename, f'attachment; filename="{FILE.filename}"'), ("a b.whl", "attachment")],
)
async def test_artifact__in_a_browser__is_saved_and_not_run(
    world: MemoryWorld, filename: str, told: str
) -> None:
    file = msgspec.structs.replace(FILE, filename=filename)
    world.store(file, DATA)
    found = headers(await serve_artifact(file, PLAIN, world.ports))
    assert found[b"content-disposition"].decode() == told


KEPT = {"docker-content-digest": "sha256:1"}
DATE = b"Wed, 01 May 2024 10:00:00 GMT"
MOMENT = 1_714_557_600.0


@pytest.mark.parametrize(
    ("conditions", "redirects", "status"),
    [
        (PLAIN, False, 200),
        (Conditions(head=True), False, 200),
        (Conditions(range=b"bytes=0-9"), False, 206),
        (Conditions(if_none_match=b"*"), False, 304),
        (PLAIN, True, 307),
        (Conditions(range=b"bytes=0-9"), True, 307),
    ],
)
async def test_artifact__kept_headers__go_out_with_every_answer_with_it(
    world: MemoryWorld, conditions: Conditions, redirects: bool, status: int
) -> None:
    data = bytes(100_000)
    large = msgspec.structs.replace(FILE, sha256="")
    facts = msgspec.structs.replace(world.store(large, data), headers=KEPT, modified=MOMENT)
    world.facts.facts[large.file] = facts
    world.objects.redirects = redirects
    reply = await serve_artifact(large, conditions, world.ports)
    assert reply.status == status
    assert headers(reply)[b"docker-content-digest"] == b"sha256:1"
    assert headers(reply).get(b"last-modified") == (None if redirects else DATE)


@pytest.mark.parametrize("head", [False, True])
async def test_artifact__cold__kept_headers_and_date_of_its_source_go_out_at_once(
    world: MemoryWorld, head: bool
) -> None:
    source_headers = SourceHeaders(MOMENT, KEPT)

    async def run(job: AnyJob) -> Event:
        kind: Literal["live", "done"] = "done" if isinstance(job, DescribeArtifact) else "live"
        return Event(job.id, kind, 2, address="x:1", size_bytes=SIZE, source_headers=source_headers)

    world.misses.run = run
    world.live.body = MemoryBody(DATA, size_bytes=SIZE, source_headers=source_headers)
    reply = await serve_artifact(FILE, Conditions(head=head), world.ports)
    assert headers(reply)[b"docker-content-digest"] == b"sha256:1"
    assert headers(reply)[b"last-modified"] == DATE


async def test_artifact__event_of_its_download_was_missed__its_fetcher_says_what_the_policy_asks(
    world: MemoryWorld,
) -> None:
    async def run(job: AnyJob) -> Event:
        return Event(job.id, "live", 2, address="x:1", size_bytes=SIZE)

    world.misses.run = run
    world.live.body = MemoryBody(DATA, size_bytes=SIZE, standing=Standing(MOMENT, "as told"))
    reply = await serve_artifact(FILE, PLAIN, world.ports)
    assert (reply.cache, reply.file.published, reply.file.judged) == ("LIVE", MOMENT, "as told")


async def test_artifact__no_digest_in_its_address__is_not_called_immutable(world: MemoryWorld) -> None:
    unpinned = msgspec.structs.replace(FILE, sha256="")
    world.store(unpinned, DATA)
    assert headers(await serve_artifact(unpinned, PLAIN, world.ports))[b"cache-control"] == b"max-age=86400"


SIZE = len(DATA)


@pytest.mark.parametrize(
    ("value", "status", "span"),
    [
        (b"bytes=0-0", 206, (0, 0)),
        (b"bytes=5-", 206, (5, SIZE - 1)),
        (b"bytes=-1", 206, (SIZE - 1, SIZE - 1)),
        (b"bytes=-99999999", 206, (0, SIZE - 1)),
        (b"bytes=10-99999999", 206, (10, SIZE - 1)),
        (b"BYTES=1-2", 206, (1, 2)),
        (b"bytes=%d-" % SIZE, 416, None),
        (b"bytes=-0", 416, None),
        (b"bytes=2-1", 200, (0, SIZE - 1)),
        (b"bytes=0-1,3-4", 200, (0, SIZE - 1)),
        (b"bytes=" + b"0-1," * 1000, 200, (0, SIZE - 1)),
        (b"bytes=a-b", 200, (0, SIZE - 1)),
        (b"bytes=--5", 200, (0, SIZE - 1)),
        (b"items=0-1", 200, (0, SIZE - 1)),
    ],
)
async def test_artifact__range__is_exact(
    world: MemoryWorld, value: bytes, status: int, span: tuple[int, int] | None
) -> None:
    world.store(FILE, DATA)
    reply = await serve_artifact(FILE, Conditions(range=value), world.ports)
    assert reply.status == status
    if span is None:
        assert headers(reply)[b"content-range"] == b"bytes */%d" % SIZE
        return
    first, last = span
    assert await body_of(reply) == DATA[first : last + 1]
    assert headers(reply)[b"content-length"] == b"%d" % (last - first + 1)
    if status == 206:
        assert headers(reply)[b"content-range"] == b"bytes %d-%d/%d" % (first, last, SIZE)


@pytest.mark.parametrize(
    ("if_range", "status"),
    [
        (f'"{DIGEST}"'.encode(), 206),
        (f'W/"{DIGEST}"'.encode(), 200),
        (b'"other"', 200),
        (b"Tue, 14 Nov 2023 22:13:20 GMT", 200),
    ],
)
async def test_artifact__if_range__is_compared_strongly(
    world: MemoryWorld, if_range: bytes, status: int
) -> None:
    world.store(FILE, DATA)
    conditions = Conditions(range=b"bytes=0-9", if_range=if_range)
    assert (await serve_artifact(FILE, conditions, world.ports)).status == status


async def test_artifact__if_none_match__wins_over_range(world: MemoryWorld) -> None:
    world.store(FILE, DATA)
    conditions = Conditions(range=b"bytes=0-9", if_none_match=f'W/"{DIGEST}"'.encode())
    reply = await serve_artifact(FILE, conditions, world.ports)
    assert (reply.status, headers(reply)[b"etag"]) == (304, f'"{DIGEST}"'.encode())


async def test_artifact__stored_with_another_digest__is_never_served(world: MemoryWorld) -> None:
    world.store(FILE, b"other bytes")
    with pytest.raises(DigestMismatch):
        await serve_artifact(FILE, PLAIN, world.ports)
    with pytest.raises(DigestMismatch):
        await serve_artifact(FILE, Conditions(head=True), world.ports)


async def test_artifact__object_missing_behind_its_row__is_fetched_again(world: MemoryWorld) -> None:
    facts = world.store(FILE, DATA)
    del world.objects.objects[facts.object_key]

    async def run(job: AnyJob) -> Event:
        world.store(FILE, DATA)
        return Event(job.id, "done", 2, value=msgspec.msgpack.encode(facts))

    world.misses.run = run
    reply = await serve_artifact(FILE, PLAIN, world.ports)
    assert (reply.cache, await body_of(reply)) == ("MISS", DATA)
    assert [type(job) for job in world.misses.waited] == [FetchArtifact]


@pytest.mark.parametrize("head", [False, True])
async def test_artifact__row_found_once_the_job_is_watched__is_a_hit(world: MemoryWorld, head: bool) -> None:
    world.facts.rows[FILE.file] = world.store(FILE, DATA)
    world.facts.facts.clear()
    reply = await serve_artifact(FILE, Conditions(head=head), world.ports)
    assert (reply.status, reply.cache) == (200, "HIT")
    assert len(world.misses.waited) == 1  # it is asked for while the end of the job would be heard


@pytest.mark.parametrize("head", [False, True])
async def test_artifact__object_missing_behind_a_row_that_no_cache_knows__is_repaired(
    world: MemoryWorld, head: bool
) -> None:
    facts = world.facts.rows[FILE.file] = world.store(FILE, DATA)
    world.facts.facts.clear()
    world.objects.objects.clear()

    async def run(job: AnyJob) -> Event:
        world.store(FILE, DATA)
        return Event(job.id, "done", 2, value=msgspec.msgpack.encode(facts))

    world.misses.run = run
    reply = await serve_artifact(FILE, Conditions(head=head), world.ports)
    assert (reply.status, reply.cache) == (200, "MISS")
    last = world.misses.waited[-1]
    assert isinstance(last, FetchArtifact) and not last.unstored  # the fetcher must look at the row


async def test_artifact__cold__the_job_says_that_there_is_no_row(world: MemoryWorld) -> None:
    async def run(job: AnyJob) -> Event:
        return Event(job.id, "failed", 2, error=FileNotFound("no").to_value())

    world.misses.run = run
    for conditions in (PLAIN, Conditions(head=True)):
        with pytest.raises(FileNotFound):
            await serve_artifact(FILE, conditions, world.ports)
    assert [job.unstored for job in world.misses.waited] == [True, True]  # type: ignore[union-attr]


async def test_artifact__cold__is_relayed_with_known_length(world: MemoryWorld) -> None:
    async def run(job: AnyJob) -> Event:
        return Event(job.id, "live", 2, address="x:1", size_bytes=SIZE, content_type="application/zip")

    world.misses.run = run
    world.live.body = MemoryBody(DATA, size_bytes=SIZE)
    reply = await serve_artifact(FILE, PLAIN, world.ports)
    assert (reply.status, reply.cache, await body_of(reply)) == (200, "LIVE", DATA)
    assert headers(reply)[b"content-length"] == b"%d" % SIZE
    assert headers(reply)[b"etag"] == f'"{DIGEST}"'.encode()


async def test_artifact__cold_range__passes_a_206_on_and_lets_nobody_keep_it(world: MemoryWorld) -> None:
    async def run(job: AnyJob) -> Event:
        return Event(job.id, "live", 2, address="x:1", size_bytes=SIZE)

    world.misses.run = run
    world.live.body = MemoryBody(DATA[:10], status=206, size_bytes=10, content_range=f"bytes 0-9/{SIZE}")
    reply = await serve_artifact(FILE, Conditions(range=b"bytes=0-9"), world.ports)
    assert (reply.status, world.live.ranges) == (206, [ByteRange(0, 10)])
    assert headers(reply)[b"cache-control"] == b"no-store"
    reply = await serve_artifact(FILE, Conditions(range=b"bytes=%d-" % SIZE), world.ports)
    assert (reply.status, headers(reply)[b"content-range"]) == (416, b"bytes */%d" % SIZE)


@pytest.mark.parametrize(
    ("conditions", "part"),
    [
        (PLAIN, False),
        (Conditions(range=b"bytes=0-9"), True),
        (Conditions(range=b"bytes=-16384"), True),
        (Conditions(range=b"bytes=5-%d" % (PART_BYTES + 4)), True),
        (Conditions(range=b"bytes=5-%d" % (PART_BYTES + 5)), False),
        (Conditions(range=b"bytes=0-"), False),
        (Conditions(range=b"bytes=0-9,20-29"), False),  # answered with the whole
        (Conditions(range=b"bytes=0-9", if_range=b'"other"'), False),
        (Conditions(range=b"bytes=0-9", if_range=f'"{DIGEST}"'.encode()), True),
    ],
)
async def test_artifact__cold_range__asks_for_no_more_than_a_small_part(
    world: MemoryWorld, conditions: Conditions, part: bool
) -> None:
    async def run(job: AnyJob) -> Event:
        return Event(job.id, "live", 2, address="x:1", size_bytes=SIZE)

    world.misses.run = run
    world.live.body = MemoryBody(DATA[:10], status=206, size_bytes=10, content_range=f"bytes 0-9/{SIZE}")
    await serve_artifact(FILE, conditions, world.ports)
    assert [job.part for job in world.misses.waited] == [part]  # type: ignore[union-attr]


async def test_artifact__cold_range_without_a_promised_digest__has_the_file_fetched(
    world: MemoryWorld,
) -> None:
    async def run(job: AnyJob) -> Event:
        return Event(job.id, "live", 2, address="x:1", size_bytes=SIZE)

    world.misses.run = run
    world.live.body = MemoryBody(DATA[:10], status=206, size_bytes=10, content_range=f"bytes 0-9/{SIZE}")
    unpromised = msgspec.structs.replace(FILE, sha256="")
    await serve_artifact(unpromised, Conditions(range=b"bytes=0-9"), world.ports)
    assert [job.part for job in world.misses.waited] == [False]  # type: ignore[union-attr]


async def test_artifact__done_with_another_digest__is_refused(world: MemoryWorld) -> None:
    async def run(job: AnyJob) -> Event:
        world.store(FILE, b"other")
        return Event(job.id, "done", 2)

    world.misses.run = run
    with pytest.raises(DigestMismatch):
        await serve_artifact(FILE, PLAIN, world.ports)


async def test_artifact__lost_and_fetched_with_another_digest__is_refused(world: MemoryWorld) -> None:
    """Where the address promises none, the row does."""
    unpinned = msgspec.structs.replace(FILE, sha256="")
    facts = world.store(unpinned, DATA)
    del world.objects.objects[facts.object_key]

    async def run(job: AnyJob) -> Event:
        other = world.store(unpinned, b"other")
        return Event(job.id, "done", 2, value=msgspec.msgpack.encode(other))

    world.misses.run = run
    with pytest.raises(DigestMismatch):
        await serve_artifact(unpinned, PLAIN, world.ports)


async def test_artifact__not_listed__is_404(world: MemoryWorld) -> None:
    async def run(job: AnyJob) -> Event:
        return Event(job.id, "failed", 2, error=FileNotFound("no").to_value())

    world.misses.run = run
    with pytest.raises(FileNotFound):
        await serve_artifact(FILE, PLAIN, world.ports)
    with pytest.raises(FileNotFound):
        await serve_artifact(FILE, Conditions(head=True), world.ports)


async def test_artifact__cold_head__is_described_not_fetched(world: MemoryWorld) -> None:
    async def run(job: AnyJob) -> Event:
        return Event(job.id, "done", 2, size_bytes=77, content_type="application/zip")

    world.misses.run = run
    reply = await serve_artifact(FILE, Conditions(head=True), world.ports)
    assert (reply.status, reply.body, headers(reply)[b"content-length"]) == (200, None, b"77")
    assert [type(job) for job in world.misses.waited] == [DescribeArtifact]
