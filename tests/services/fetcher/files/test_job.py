"""Job `fetch_artifact`: complete, verified and kept, or nothing at all."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
import os
import random
import time
import zipfile

import msgspec
import pytest

from services.fetcher.files.sealing import Sealer
from shared.errors import DigestMismatch, FileNotFound, LastingError, UpstreamInvalid
from shared.errors.passing import PassingError, UpstreamRateLimited, UpstreamTimeout, UpstreamUnavailable
from shared.models import FileName, StoredFile
from shared.objects.port import artifact_key
from shared.queue.jobs import AnyJob, ExtractDependencies, RenderIndex
from shared.queue.keys import job_key, queue_key
from tests.services.fetcher.conftest import WHEEL, Fetcher, running_fetcher, sha256
from tests.support.builders import build_wheel, build_zip
from tests.support.rows import row_of
from tests.support.upstream import Fault, Reply, Upstream

FILE = f"/files/demo/{WHEEL}"
CONTENT = b"PK\x03\x04" + random.Random(1).randbytes(700_000)
TARBALL = "demo-1.0.tar.gz"
PACKED = gzip.compress(CONTENT)


@pytest.fixture
def published(fetcher: Fetcher) -> Fetcher:
    fetcher.upstream.add_project("demo", {WHEEL: CONTENT})
    return fetcher


async def test_fetch_artifact__listed_file__object_row_facts_and_extraction(published: Fetcher) -> None:
    await published.index()
    facts = await published.artifact(CONTENT)
    assert (facts.sha256, facts.size_bytes, facts.filename) == (sha256(CONTENT), len(CONTENT), WHEEL)
    assert await published.objects.read(facts.object_key) == CONTENT
    file = published.artifact_job(CONTENT).file
    row = await published.artifacts.get_cached_url_with_artifact(file)
    assert row == facts
    depth = await published.queue.depths(["extract"])
    assert depth["extract"].ready == 1
    extract = ExtractDependencies("pypi", "demo", sha256(CONTENT), WHEEL, sha256(CONTENT))
    assert not await published.queue.enqueue(extract)
    assert published.upstream.count(FILE) == 1


@pytest.mark.parametrize(
    ("told", "seconds"), [("Sun, 06 Nov 1994 08:49:37 GMT", 784111777.0), ("", 0.0), ("some day", 0.0)]
)
async def test_fetch_artifact__last_modified__is_kept_with_the_file(
    published: Fetcher, told: str, seconds: float
) -> None:
    published.upstream.put(FILE, Reply(CONTENT, last_modified=told))
    facts = await published.artifact(CONTENT)
    file = published.artifact_job(CONTENT).file
    row = await published.artifacts.get_cached_url_with_artifact(file)
    assert row == facts and facts.modified == seconds


async def test_fetch_artifact__done_event__carries_the_facts(published: Fetcher) -> None:
    event = await published.ended(published.artifact_job(CONTENT))
    assert event.sha256 == sha256(CONTENT) and event.size_bytes == len(CONTENT) and event.value


async def test_fetch_artifact__index_never_seen__fetched_first(published: Fetcher) -> None:
    assert (await published.artifact(CONTENT)).sha256 == sha256(CONTENT)
    assert published.upstream.count("/simple/demo/") == 1


async def test_fetch_artifact__index_lacks_it__404_and_the_index_was_asked(published: Fetcher) -> None:
    with pytest.raises(FileNotFound):
        await published.artifact("0" * 64)
    assert published.upstream.count("/simple/demo/") == 1
    with pytest.raises(FileNotFound):  # the index was just fetched: not asked again at once
        await published.artifact("1" * 64)
    assert published.upstream.count("/simple/demo/") == 1


async def test_fetch_artifact__project_unknown__404(fetcher: Fetcher) -> None:
    with pytest.raises(FileNotFound):
        await fetcher.artifact("0" * 64)


async def test_fetch_artifact__index_fails__never_404(published: Fetcher) -> None:
    published.upstream.fault("/simple/demo/", Fault(status=500))
    with pytest.raises((PassingError, LastingError, FileNotFound)):
        await published.artifact(CONTENT)


async def test_fetch_artifact__row_stands_and_redis_is_empty__no_request(published: Fetcher) -> None:
    first = await published.artifact(CONTENT)
    await published.cache_redis.raw.flushall()
    assert await published.artifact(CONTENT) == first
    assert published.upstream.count(FILE) == 1


async def test_fetch_artifact__row_taken_away_while_its_object_is_hashed__fetched_anew(
    published: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, job = await published.artifact(CONTENT), published.artifact_job(CONTENT)
    is_intact, hashed = Sealer.is_intact, []

    async def hashing(sealer: Sealer, facts: StoredFile) -> bool:
        hashed.append(facts)
        await published.database.execute("DELETE FROM cached_urls")
        await published.cache.fence_facts(job.file, facts.created_at)
        return await is_intact(sealer, facts)

    monkeypatch.setattr(Sealer, "is_intact", hashing)
    event = await published.ended(job)
    new = await published.facts(job)
    assert hashed == [old] and published.upstream.count(FILE) == 2
    assert new is not None and new.created_at > old.created_at
    assert msgspec.msgpack.decode(event.value, type=StoredFile) == new


async def _loses(fetcher: Fetcher, job: AnyJob) -> bool:
    """Take a job out of the queue, as if the run before it had been killed; whether it was there."""
    redis = fetcher.queue._redis.raw
    await redis.delete(job_key(job.id))
    return bool(await redis.zrem(queue_key(job.runs_in), job.id))


async def test_fetch_artifact__run_was_killed_after_the_row__extraction_follows_from_the_next(
    published: Fetcher,
) -> None:
    await published.artifact(CONTENT)
    extract = ExtractDependencies("pypi", "demo", sha256(CONTENT), WHEEL, sha256(CONTENT))
    assert await _loses(published, extract)
    await published.artifact(CONTENT)
    assert await _loses(published, extract)


async def test_fetch_artifact__no_row_when_it_was_asked_for__cache_knows_what_came_since(
    published: Fetcher,
) -> None:
    first = await published.artifact(CONTENT)
    asked = msgspec.structs.replace(published.artifact_job(CONTENT), unstored=True)
    await published.ended(asked)
    assert published.upstream.count(FILE) == 1
    await published.cache_redis.raw.flushall()  # what whoever asked saw was wrong: no harm but a request
    await published.ended(asked)
    assert published.upstream.count(FILE) == 2
    assert await published.facts(asked) == first


async def test_fetch_artifact__object_lost_behind_the_row__fetched_again(published: Fetcher) -> None:
    first = await published.artifact(CONTENT)
    await published.objects.delete(first.object_key)
    assert await published.artifact(CONTENT) == first
    assert await published.objects.read(first.object_key) == CONTENT


async def test_fetch_artifact__object_lost_and_upstream_changed__refused(fetcher: Fetcher) -> None:
    name = "demo-1.0.tar.gz"
    old, new = b"\x1f\x8bold", b"\x1f\x8bnew"
    fetcher.upstream.add_project("demo", {name: old}, hashes=())
    await fetcher.index()
    file_id = (await fetcher.page()).decode().split("files/demo/")[1].split("/")[0]
    first = await fetcher.artifact(file_id, name)
    await fetcher.objects.delete(first.object_key)
    fetcher.upstream.put(f"/files/demo/{name}", new)
    with pytest.raises((PassingError, LastingError, FileNotFound)):
        await fetcher.artifact(file_id, name)
    assert await fetcher.objects.stat(artifact_key(sha256(new))) is None
    assert await fetcher.events("upstream_mutated") >= 1


CURED_BY_RESUME = {
    "cut at 0": Fault(cut_at=0),
    "cut at 1": Fault(cut_at=1),
    "cut in the middle": Fault(cut_at=350_000),
    "cut before the last byte": Fault(cut_at=len(CONTENT) - 1),
    "reset at 0": Fault(cut_at=0, reset=True),
    "reset in the middle": Fault(cut_at=350_000, reset=True),
    "chunked and cut": Fault(chunked=True, cut_at=350_000),
    "503 at first": Fault(status=503),
}


@pytest.mark.parametrize("name", CURED_BY_RESUME)
async def test_fetch_artifact__cut_once__resumed_and_right(published: Fetcher, name: str) -> None:
    await published.index()
    published.upstream.fault(FILE, CURED_BY_RESUME[name], times=1)
    facts = await published.artifact(CONTENT)
    assert await published.objects.read(facts.object_key) == CONTENT
    assert published.upstream.count(FILE) == 2


async def test_fetch_artifact__cut_in_the_middle__asks_for_the_rest_only(published: Fetcher) -> None:
    published.upstream.fault(FILE, Fault(cut_at=300_000), times=1)
    await published.artifact(CONTENT)
    again = published.upstream.seen(FILE)[1].headers
    offset = int(again["range"].removeprefix("bytes=").rstrip("-"))
    assert 0 < offset <= 300_000
    assert again["if-range"] == published.upstream._replies[FILE].validator


async def test_fetch_artifact__cut_at_eof_without_length__resumed(published: Fetcher) -> None:
    published.upstream.fault(FILE, Fault(no_length=True, cut_at=300_000), times=1)
    facts = await published.artifact(CONTENT)
    assert await published.objects.read(facts.object_key) == CONTENT


async def test_fetch_artifact__range_ignored_on_resume__compared_and_completed(published: Fetcher) -> None:
    published.upstream.fault(FILE, Fault(cut_at=300_000), times=1)
    published.upstream.fault(FILE, Fault(ignore_range=True))
    facts = await published.artifact(CONTENT)
    assert await published.objects.read(facts.object_key) == CONTENT


async def test_fetch_artifact__other_bytes_on_resume__nothing_kept(published: Fetcher) -> None:
    await published.index()
    published.upstream.fault(FILE, Fault(cut_at=300_000), times=1)
    published.upstream.fault(FILE, Fault(ignore_range=True, flip_at=5))
    with pytest.raises(DigestMismatch):
        await published.artifact(CONTENT)
    assert await published.nothing_stored()


async def test_fetch_artifact__cut_again_and_again_with_progress__completes(published: Fetcher) -> None:
    for _ in range(4):
        published.upstream.fault(FILE, Fault(cut_at=100_000), times=1)
    facts = await published.artifact(CONTENT)
    assert await published.objects.read(facts.object_key) == CONTENT


LOGIN = b"<!DOCTYPE html><html><form>log in</form></html>"
NOTHING_KEPT = {
    "flipped byte": Fault(flip_at=1234),
    "cut for ever": Fault(cut_at=10),
    "login page": Fault(body=LOGIN, content_type="text/html"),
    "empty": Fault(body=b""),
    "surplus announced": Fault(declared_length=len(CONTENT) + 3, surplus=b"abc"),
    "surplus without length": Fault(no_length=True, surplus=b"abc"),
    "declared 50 GB": Fault(declared_length=50 * 2**30),
    "401": Fault(status=401),
    "403": Fault(status=403),
    "404": Fault(status=404),
    "410": Fault(status=410),
    "429": Fault(status=429, headers={"retry-after": "1"}),
    "500": Fault(status=500),
    "206 not asked for": Fault(not_asked_206=True),
    "redirect loop": Fault(redirect=FILE),
    "redirect to a metadata service": Fault(redirect="http://169.254.169.254/latest/"),
    "silent": Fault(silent=True),
    "stalled": Fault(stall_at=1000),
}


@pytest.mark.parametrize("name", NOTHING_KEPT)
async def test_fetch_artifact__fault__nothing_kept_and_the_next_one_works(
    published: Fetcher, name: str
) -> None:
    await published.index()
    published.upstream.fault(FILE, NOTHING_KEPT[name])
    with pytest.raises((PassingError, LastingError, FileNotFound)):
        await published.artifact(CONTENT)
    assert await published.nothing_stored()
    published.upstream.heal()
    await published.cache_redis.raw.flushdb()  # the breakers' memory has its own tests
    assert (await published.artifact(CONTENT)).sha256 == sha256(CONTENT)


async def test_fetch_artifact__surplus_after_the_end__right_file(
    published: Fetcher,
) -> None:
    forged = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"
    published.upstream.fault(FILE, Fault(surplus=forged), times=1)
    facts = await published.artifact(CONTENT)
    assert await published.objects.read(facts.object_key) == CONTENT
    assert (await published.index()).status == 200


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP"])
@pytest.mark.parametrize("kind", ["whl", "tar.gz", "json"])
@pytest.mark.parametrize("packed_on_the_way", [True, False])
@pytest.mark.parametrize("hashed", ["sha256", "sha512"])
async def test_fetch_artifact__declared_gzip__the_bytes_that_have_the_digest_are_kept(
    fetcher: Fetcher, coding: str, kind: str, packed_on_the_way: bool, hashed: str
) -> None:
    plain = CONTENT if kind == "whl" else gzip.compress(CONTENT * 50, 1) if kind == "tar.gz" else b"{}" * 4000
    name = {"whl": WHEEL, "tar.gz": "demo-1.0.tar.gz", "json": "demo-1.0.zip"}[kind]
    if kind == "json":
        plain = build_zip({"a.json": plain})
    fetcher.upstream.add_project("demo", {name: plain}, hashes=(hashed,))
    await fetcher.index()
    file_id = (await fetcher.page()).decode().split("files/demo/")[1].split("/")[0]
    sent = gzip.compress(plain, 1) if packed_on_the_way else plain
    fetcher.upstream.put(f"/files/demo/{name}", Reply(sent, headers={"content-encoding": coding}))
    facts = await fetcher.artifact(file_id, name)
    assert facts.sha256 == sha256(plain)
    assert await fetcher.objects.read(facts.object_key) == plain


@pytest.mark.parametrize("fault", [Fault(cut_at=200), Fault(cut_at=200, no_length=True), Fault(flip_at=300)])
async def test_fetch_artifact__packed_on_the_way_and_spoilt__nothing_kept_and_the_next_is_right(
    fetcher: Fetcher, fault: Fault
) -> None:
    plain = gzip.compress(b"".join(hashlib.sha256(bytes([n])).digest() for n in range(200)), 1)
    name = "demo-1.0.tar.gz"
    fetcher.upstream.add_project("demo", {name: plain})
    await fetcher.index()
    path = f"/files/demo/{name}"
    fetcher.upstream.put(path, Reply(gzip.compress(plain), headers={"content-encoding": "gzip"}))
    fetcher.upstream.fault(path, fault)
    with pytest.raises((PassingError, LastingError)):
        await fetcher.artifact(plain, name)
    assert await fetcher.nothing_stored()
    fetcher.upstream.heal()
    await fetcher.cache_redis.raw.flushdb()
    assert (await fetcher.artifact(plain, name)).sha256 == sha256(plain)


CODED = {
    "gzip on a wheel": (WHEEL, CONTENT, gzip.compress(CONTENT), "gzip"),
    "in two members": (WHEEL, CONTENT, gzip.compress(CONTENT[:9]) + gzip.compress(CONTENT[9:]), "x-gzip"),
    "gzip on a tarball": (TARBALL, PACKED, gzip.compress(PACKED), "gzip"),
    "declared for a tarball as it is": (TARBALL, PACKED, PACKED, "gzip"),
    "declared for a wheel as it is": (WHEEL, CONTENT, CONTENT, "x-gzip"),
    "another name for nothing": (WHEEL, CONTENT, CONTENT, "aws-chunked"),
    "unknown": (WHEEL, CONTENT, CONTENT, "utf-8"),
}


@pytest.mark.parametrize("hashes", [("sha256",), ()])
@pytest.mark.parametrize("name", CODED)
async def test_fetch_artifact__content_coding_not_asked_for__file_as_its_digest_says(
    fetcher: Fetcher, name: str, hashes: tuple[str, ...]
) -> None:
    filename, content, sent, coding = CODED[name]
    fetcher.upstream.add_project("demo", {filename: content}, hashes=hashes, sizes=bool(hashes))
    await fetcher.index()
    file_id = (await fetcher.page()).decode().split("files/demo/")[1].split("/")[0]
    path = f"/files/demo/{filename}"
    fetcher.upstream.put(path, Reply(sent, headers={"content-encoding": coding}))
    fetcher.upstream.fault(path, Fault(cut_at=len(sent) // 2), times=1)  # and resumed
    facts = await fetcher.artifact(file_id, filename)
    assert await fetcher.objects.read(facts.object_key) == content


@pytest.mark.parametrize("told", [1, len(CONTENT) - 1, len(CONTENT) + 1])
async def test_fetch_artifact__size_of_the_index_is_wrong_and_its_digest_right__taken(
    fetcher: Fetcher, told: int
) -> None:
    page = fetcher.upstream.add_project("demo", {WHEEL: CONTENT})
    document = json.loads(fetcher.upstream.reply(page).body)
    document["files"][0]["size"] = told
    fetcher.upstream.put(page, json.dumps(document).encode(), "application/vnd.pypi.simple.v1+json")
    facts = await fetcher.artifact(sha256(CONTENT), WHEEL)
    assert facts.size_bytes == len(CONTENT)


async def test_fetch_artifact__endless__cut_at_the_announced_size(published: Fetcher) -> None:
    await published.index()
    published.upstream.fault(FILE, Fault(endless=True))
    with pytest.raises((PassingError, LastingError, FileNotFound)):
        await published.artifact(CONTENT)
    assert await published.nothing_stored()


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha512"])
async def test_fetch_artifact__other_hash_only__verified_by_it(fetcher: Fetcher, algorithm: str) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: CONTENT}, hashes=(algorithm,))
    await fetcher.index()
    file_id = (await fetcher.page()).decode().split("files/demo/")[1].split("/")[0]
    assert file_id.startswith("id-")
    fetcher.upstream.fault(FILE, Fault(flip_at=9), times=1)
    with pytest.raises(DigestMismatch):
        await fetcher.artifact(file_id)
    assert await fetcher.nothing_stored()
    assert (await fetcher.artifact(file_id)).sha256 == sha256(CONTENT)


async def test_fetch_artifact__conflicting_hashes__the_strongest_decides(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: CONTENT}, hashes=("sha512", "md5"))
    page = fetcher.upstream._replies["/simple/demo/"]
    wrong = page.body.replace(hashlib.md5(CONTENT).hexdigest().encode(), b"0" * 32)
    fetcher.upstream.put("/simple/demo/", Reply(wrong, page.content_type))
    await fetcher.index()
    file_id = (await fetcher.page()).decode().split("files/demo/")[1].split("/")[0]
    assert (await fetcher.artifact(file_id)).sha256 == sha256(CONTENT)


NO_HASH = {
    "login page": Fault(body=LOGIN, content_type="text/html"),
    "cut at EOF": Fault(no_length=True, cut_at=50),
    "error message": Fault(body=b'{"error": "try again"}', content_type="application/json"),
}


@pytest.mark.parametrize("name", NO_HASH)
async def test_fetch_artifact__no_hash_at_all__only_what_can_be_told_apart_is_kept(
    fetcher: Fetcher, name: str
) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: CONTENT}, hashes=(), sizes=False)
    await fetcher.index()
    file_id = (await fetcher.page()).decode().split("files/demo/")[1].split("/")[0]
    fetcher.upstream.fault(FILE, NO_HASH[name], times=1)
    with pytest.raises(UpstreamInvalid):
        await fetcher.artifact(file_id)
    assert await fetcher.nothing_stored()
    assert (await fetcher.artifact(file_id)).sha256 == sha256(CONTENT)


async def test_fetch_artifact__other_bytes_in_the_row__first_stays_and_event(fetcher: Fetcher) -> None:
    name = "demo-1.0.tar.gz"
    fetcher.upstream.add_project("demo", {name: b"\x1f\x8bnew"}, hashes=())
    await fetcher.index()
    file_id = (await fetcher.page()).decode().split("files/demo/")[1].split("/")[0]
    old = b"\x1f\x8bold"
    await fetcher.objects.put_bytes(artifact_key(sha256(old)), old)

    async def other_fetcher_wins() -> None:
        await fetcher.artifacts.get_or_create_artifact(row_of(FileName("pypi", "demo", file_id, name), old))

    fetcher.upstream.fault(f"/files/demo/{name}", Fault(delay_seconds=0.3))
    job = asyncio.create_task(fetcher.artifact(file_id, name))
    await asyncio.sleep(0.15)
    await other_fetcher_wins()
    assert (await job).sha256 == sha256(old)
    assert await fetcher.events("upstream_mutated") == 1


async def test_fetch_artifact__many_at_once__each_asked_once(fetcher: Fetcher) -> None:
    files = {f"demo-{i}.0-py3-none-any.whl": b"PK\x03\x04" + os.urandom(5_000) for i in range(64)}
    fetcher.upstream.add_project("demo", files)
    await asyncio.gather(*(fetcher.artifact(content, name) for name, content in files.items()))
    assert fetcher.upstream.count("/simple/demo/") == 1
    assert all(fetcher.upstream.count(f"/files/demo/{name}") == 1 for name in files)


# --- core metadata ------------------------------------------------------------------------------


def _wheel() -> tuple[bytes, bytes]:
    wheel = build_wheel("demo", "1.0")
    archive = zipfile.ZipFile(io.BytesIO(wheel))
    return wheel, archive.read("demo-1.0.dist-info/METADATA")


METADATA = WHEEL + ".metadata"
LIE = b"Metadata-Version: 2.1\nName: liar\n"


async def test_fetch_artifact__metadata__upstreams_own(fetcher: Fetcher) -> None:
    wheel, metadata = _wheel()
    fetcher.upstream.add_project("demo", {WHEEL: wheel}, metadata={WHEEL: metadata})
    facts = await fetcher.artifact(sha256(wheel), METADATA)
    assert await fetcher.objects.read(facts.object_key) == metadata
    assert fetcher.upstream.count(FILE) == 0


@pytest.mark.parametrize(
    "fault", [Fault(status=404), Fault(status=500), Fault(flip_at=3), Fault(body=LOGIN), Fault(status=403)]
)
async def test_fetch_artifact__metadata_withheld__out_of_the_wheel(fetcher: Fetcher, fault: Fault) -> None:
    wheel, metadata = _wheel()
    fetcher.upstream.add_project("demo", {WHEEL: wheel}, metadata={WHEEL: metadata})
    fetcher.upstream.fault(FILE + ".metadata", fault)
    facts = await fetcher.artifact(sha256(wheel), METADATA)
    assert await fetcher.objects.read(facts.object_key) == metadata and not facts.provisional
    (asked,) = fetcher.upstream.seen(FILE)
    assert asked.headers["range"]  # of the wheel no more than what tells it


@pytest.mark.parametrize("fault", [Fault(status=404), Fault(body=b"other bytes"), Fault(body=LOGIN), None])
async def test_fetch_artifact__metadata_digest_wrong_in_the_index__the_wheels_own_and_the_page_tells_it(
    fetcher: Fetcher, fault: Fault | None
) -> None:
    wheel, metadata = _wheel()
    fetcher.upstream.add_project("demo", {WHEEL: wheel}, metadata={WHEEL: LIE})
    if fault is None:  # the wheel's own digest, told as the metadata's
        page = fetcher.upstream._replies["/simple/demo/"]
        wrong = page.body.replace(sha256(LIE).encode(), sha256(wheel).encode())
        fetcher.upstream.put("/simple/demo/", Reply(wrong, page.content_type))
    else:
        fetcher.upstream.fault(FILE + ".metadata", fault)
    facts = await fetcher.artifact(sha256(wheel), METADATA)
    assert await fetcher.objects.read(facts.object_key) == metadata
    assert await fetcher.events("metadata_differs") == 1
    await fetcher.ended(RenderIndex("pypi", "simple/demo"))
    assert json.loads(await fetcher.page())["files"][0]["core-metadata"] == {"sha256": sha256(metadata)}


async def test_fetch_artifact__metadata_of_a_passing_failure__only_as_the_index_says(
    fetcher: Fetcher,
) -> None:
    wheel, _ = _wheel()
    fetcher.upstream.add_project("demo", {WHEEL: wheel}, metadata={WHEEL: LIE})
    fetcher.upstream.fault(FILE + ".metadata", Fault(status=500))
    with pytest.raises(PassingError):
        await fetcher.artifact(sha256(wheel), METADATA)


@pytest.mark.parametrize("body", [b'{"error": "no"}', b"not here", LOGIN, b"", b"\0" * 50])
async def test_fetch_artifact__metadata_without_digest_that_is_none__out_of_the_wheel(
    fetcher: Fetcher, body: bytes
) -> None:
    wheel, metadata = _wheel()
    fetcher.upstream.add_project("demo", {WHEEL: wheel}, metadata={WHEEL: metadata})
    page = fetcher.upstream._replies["/simple/demo/"]
    untold = page.body.replace(f'{{"sha256": "{sha256(metadata)}"}}'.encode(), b"true")
    fetcher.upstream.put("/simple/demo/", Reply(untold, page.content_type))
    fetcher.upstream.fault(FILE + ".metadata", Fault(body=body))
    facts = await fetcher.artifact(sha256(wheel), METADATA)
    assert await fetcher.objects.read(facts.object_key) == metadata


# --- describe -----------------------------------------------------------------------------------


async def test_describe_artifact__size_in_the_index__no_request_for_the_file(published: Fetcher) -> None:
    assert (await published.describe(CONTENT)).size_bytes == len(CONTENT)
    assert published.upstream.count(FILE) == 0


@pytest.mark.parametrize("head_status", [0, 405, 404, 500])
async def test_describe_artifact__size_not_in_the_index__asked(fetcher: Fetcher, head_status: int) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: CONTENT}, sizes=False)
    if head_status:
        fetcher.upstream.fault(FILE, Fault(status=head_status), times=1)
    assert (await fetcher.describe(CONTENT)).size_bytes == len(CONTENT)
    assert await fetcher.nothing_stored()


async def test_describe_artifact__not_listed__404(published: Fetcher) -> None:
    with pytest.raises(FileNotFound):
        await published.describe("0" * 64)


async def test_describe_artifact__upstream_fails__503(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: CONTENT}, sizes=False)
    fetcher.upstream.fault(FILE, Fault(status=500))
    with pytest.raises(UpstreamUnavailable):
        await fetcher.describe(CONTENT)


async def test_describe_artifact__upstream_says_nothing__ended_within_the_read_timeout(
    upstream: Upstream, environ: dict[str, str]
) -> None:
    """It has a slot of the indexes: a hundred silent files must not keep pages waiting."""
    impatient = {**environ, "ORCHARD_HTTP_READ_TIMEOUT": "2"}
    async with running_fetcher(upstream, impatient) as fetcher:
        upstream.add_project("demo", {WHEEL: CONTENT}, sizes=False)
        await fetcher.index()
        upstream.fault(FILE, Fault(silent=True))
        started = time.monotonic()
        with pytest.raises(UpstreamTimeout):
            await fetcher.describe(CONTENT)
        assert time.monotonic() - started < 20  # of a minute without it


async def test_describe_artifact__head_alone_says_nothing__get_is_asked(
    upstream: Upstream, environ: dict[str, str]
) -> None:
    impatient = {**environ, "ORCHARD_HTTP_READ_TIMEOUT": "2"}
    async with running_fetcher(upstream, impatient) as fetcher:
        upstream.add_project("demo", {WHEEL: CONTENT}, sizes=False)
        await fetcher.index()
        upstream.fault(FILE, Fault(silent=True), times=1)
        assert (await fetcher.describe(CONTENT)).size_bytes == len(CONTENT)


async def test_describe_artifact__head_alone_is_told_to_stay_away__get_is_asked(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: CONTENT}, sizes=False)
    await fetcher.index()
    fetcher.upstream.fault(FILE, Fault(status=503, headers={"retry-after": "60"}), times=1)
    assert (await fetcher.describe(CONTENT)).size_bytes == len(CONTENT)


async def test_describe_artifact__many_files_of_one_cold_project__its_index_is_asked_for_once(
    fetcher: Fetcher,
) -> None:
    files = {f"demo-{number}.0-py3-none-any.whl": CONTENT + bytes([number]) for number in range(20)}
    fetcher.upstream.add_project("demo", files)
    fetcher.upstream.fault("/simple/demo/", Fault(delay_seconds=0.5))
    ended = await asyncio.gather(*(fetcher.describe(data, name) for name, data in files.items()))
    assert {event.size_bytes for event in ended} == {len(CONTENT) + 1}
    assert fetcher.upstream.count("/simple/demo/") == 1


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_fetch_artifact__429_of_one_file__pages_and_other_files_go_on(
    fetcher: Fetcher, elsewhere: bool
) -> None:
    with Upstream() as other:
        files = other if elsewhere else fetcher.upstream
        link = {"files": [{"filename": WHEEL, "url": files.put(FILE, CONTENT), "hashes": {}}]}
        document = {"meta": {"api-version": "1.0"}, "name": "demo", **link}
        page = Reply(json.dumps(document).encode(), "application/vnd.pypi.simple.v1+json")
        fetcher.upstream.put("/simple/demo/", page)
        files.fault(FILE, Fault(status=429, headers={"retry-after": "600"}))
        head = await fetcher.index()
        assert head.status == 200
        entry = json.loads(await fetcher.page())["files"][0]["url"].split("/")[-2]
        for _ in range(3):
            with pytest.raises(UpstreamRateLimited) as caught:
                await fetcher.ended(fetcher.artifact_job(entry))
            assert 590 <= caught.value.retry_after_seconds <= 600
        assert files.count(FILE) == 1
        for number in range(12):
            content = b"PK\x03\x04" + str(number).encode()
            name = f"n{number}-1-py3-none-any.whl"
            fetcher.upstream.add_project(f"n{number}", {name: content})
            assert (await fetcher.index(f"n{number}")).status == 200
            await fetcher.artifact(content, name, f"n{number}")
        assert await fetcher.cache.open_breakers("pypi", 1) == []
