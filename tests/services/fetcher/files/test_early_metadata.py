"""A wheel's metadata where its upstream offers none: read out of the upstream's wheel by ranges."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Mapping

import pytest

from services.fetcher.files import early_metadata
from shared.errors import Blocked, Offline, OrchardError, UpstreamInvalid, UpstreamRefused
from shared.errors.passing import PassingError, UpstreamTimeout, UpstreamUnavailable
from shared.models import StoredFile
from shared.protocols.pypi.names import stable_id
from tests.services.fetcher.conftest import WHEEL, Fetcher, running_fetcher, sha256
from tests.support.builders import build_wheel, build_zip, core_metadata
from tests.support.upstream import Fault, Reply, Upstream

FILE = f"/files/demo/{WHEEL}"
METADATA = f"{WHEEL}.metadata"
INFO = "demo-1.0.dist-info"
TRUE = core_metadata("demo", "1.0", requires=["other>=2"])
LARGE = build_wheel("demo", "1.0", requires=["other>=2"], size_bytes=700_000)
PADDING = build_wheel("padding", "1.0", size_bytes=300_000)


def wheel(contents: Mapping[str, bytes]) -> bytes:
    return build_zip(contents, stored={"padding.bin"})


SCATTERED = wheel({f"{INFO}/METADATA": TRUE, "padding.bin": PADDING, f"{INFO}/RECORD": b""})
LONG_DIRECTORY = wheel(
    {"padding.bin": PADDING, **{f"demo/{n:0100}.py": b"" for n in range(600)}, f"{INFO}/METADATA": TRUE}
)


def asked(fetcher: Fetcher) -> list[str]:
    """The ranges that were asked of the wheel, in order; "" for the whole."""
    return [request.headers.get("range", "") for request in fetcher.upstream.seen(FILE)]


async def metadata(fetcher: Fetcher, content: bytes) -> StoredFile:
    return await fetcher.artifact(sha256(content), METADATA)


@pytest.mark.parametrize("content", [LARGE, build_wheel("demo", "1.0", requires=["other>=2"])])
async def test_metadata__upstream_has_none__one_range_and_no_wheel(fetcher: Fetcher, content: bytes) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: content})
    await fetcher.index()
    assert json.loads(await fetcher.page())["files"][0]["core-metadata"] is True
    facts = await metadata(fetcher, content)
    assert await fetcher.objects.read(facts.object_key) == TRUE
    assert facts.provisional and facts.content_type == "text/plain; charset=utf-8"
    assert len(asked(fetcher)) == 1 and asked(fetcher)[0].startswith("bytes=-")
    assert fetcher.upstream.count(FILE + ".metadata") == 0
    assert [row["role"] for row in await fetcher.database.fetch("SELECT role FROM cached_urls")] == [
        "provisional"
    ]
    assert (await fetcher.queue.depths(["extract"]))["extract"].ready == 0


@pytest.mark.parametrize("content", [SCATTERED, LONG_DIRECTORY])
async def test_metadata__not_at_the_end_of_the_wheel__one_range_more(
    fetcher: Fetcher, content: bytes
) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: content})
    facts = await metadata(fetcher, content)
    assert await fetcher.objects.read(facts.object_key) == TRUE
    assert len(asked(fetcher)) == 2 and "" not in asked(fetcher)


async def test_metadata__html_upstream_without_sizes_and_digests__the_same(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: LARGE}, html=True, hashes=(), sizes=False)
    facts = await fetcher.artifact(stable_id("pypi", "demo", WHEEL), METADATA)
    assert await fetcher.objects.read(facts.object_key) == TRUE and facts.provisional
    assert len(asked(fetcher)) == 1


async def test_metadata__asked_again__the_kept_one_is_served(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: LARGE})
    first = await metadata(fetcher, LARGE)
    await fetcher.cache_redis.raw.flushall()
    assert await metadata(fetcher, LARGE) == first
    assert len(asked(fetcher)) == 1


async def test_metadata__described__is_there_of_a_size_that_is_not_known(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: LARGE})
    event = await fetcher.describe(LARGE, METADATA)
    assert event.size_bytes is None and event.content_type == "text/plain; charset=utf-8"
    assert asked(fetcher) == []


async def test_metadata__many_at_once__each_costs_one_range(fetcher: Fetcher) -> None:
    files = {f"demo-{i}.0-py3-none-any.whl": build_wheel("demo", f"{i}.0") for i in range(64)}
    fetcher.upstream.add_project("demo", files)
    await asyncio.gather(*(fetcher.artifact(sha256(each), f"{n}.metadata") for n, each in files.items()))
    assert fetcher.upstream.count("/simple/demo/") == 1
    assert all(fetcher.upstream.count(f"/files/demo/{name}") == 1 for name in files)


async def test_metadata__wheel_is_stored__out_of_it(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: LARGE})
    await fetcher.artifact(LARGE)
    facts = await metadata(fetcher, LARGE)
    assert await fetcher.objects.read(facts.object_key) == TRUE and not facts.provisional
    assert asked(fetcher) == [""]


async def test_metadata__its_object_is_lost__read_anew_whatever_it_is_by_now(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: LARGE}, html=True, hashes=())
    file_id = stable_id("pypi", "demo", WHEEL)
    first = await fetcher.artifact(file_id, METADATA)
    await fetcher.objects.delete(first.object_key)
    other = build_wheel("demo", "1.0", size_bytes=500_000)
    fetcher.upstream.put(FILE, other)
    second = await fetcher.artifact(file_id, METADATA)
    assert second.provisional and second.sha256 != first.sha256 and second.created_at > first.created_at
    assert await fetcher.objects.read(second.object_key) == core_metadata("demo", "1.0")


# --- hosts that give no ranges --------------------------------------------------------------------


async def test_metadata__host_answers_ranges_with_the_whole__remembered_and_downloaded(
    fetcher: Fetcher,
) -> None:
    second = "demo-2.0-py3-none-any.whl"
    other = build_wheel("demo", "2.0", size_bytes=100_000)
    fetcher.upstream.add_project("demo", {WHEEL: LARGE, second: other})
    fetcher.upstream.put(FILE, Reply(LARGE, ranges=False))
    fetcher.upstream.put(f"/files/demo/{second}", Reply(other, ranges=False))
    facts = await metadata(fetcher, LARGE)
    assert await fetcher.objects.read(facts.object_key) == TRUE and not facts.provisional
    assert len(asked(fetcher)) == 3 and asked(fetcher)[-1] == ""
    await fetcher.artifact(sha256(other), f"{second}.metadata")
    (once,) = fetcher.upstream.seen(f"/files/demo/{second}")
    assert "range" not in once.headers


@pytest.mark.parametrize("status", [400, 416, 501, 200])
async def test_metadata__host_knows_no_suffixes__asked_by_positions_from_then_on(
    fetcher: Fetcher, status: int
) -> None:
    second = "demo-2.0-py3-none-any.whl"
    fetcher.upstream.add_project("demo", {WHEEL: LARGE, second: build_wheel("demo", "2.0")})
    refusal = Fault(ignore_range=True) if status == 200 else Fault(status=status, body=b"no suffixes")
    fetcher.upstream.fault(FILE, refusal, times=1)
    assert (await metadata(fetcher, LARGE)).provisional
    assert [text[:7] for text in asked(fetcher)] == ["bytes=-", f"bytes={len(LARGE) - 48 * 1024}"[:7]]
    await fetcher.artifact(sha256(build_wheel("demo", "2.0")), f"{second}.metadata")
    (once,) = fetcher.upstream.seen(f"/files/demo/{second}")
    assert once.headers["range"].startswith("bytes=0-")


async def test_metadata__size_unknown_and_no_suffixes__the_size_is_asked_for(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: LARGE}, sizes=False)
    fetcher.upstream.fault(FILE, Fault(ignore_range=True), times=1)
    assert (await metadata(fetcher, LARGE)).provisional
    assert asked(fetcher)[1] == "bytes=0-0" and len(asked(fetcher)) == 3


async def test_metadata__wheel_is_refused__the_refusal_of_the_whole(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: LARGE})
    fetcher.upstream.fault(FILE, Fault(status=403, body=b"pay first"))
    with pytest.raises(UpstreamRefused):
        await metadata(fetcher, LARGE)
    assert await fetcher.nothing_stored()


# --- hosts that lie -------------------------------------------------------------------------------


def _other_total(start: int, end: int) -> Fault:
    return Fault(headers={"content-range": f"bytes {start}-{end - 1}/{len(SCATTERED) + 1}"})


async def test_metadata__another_total_than_the_index_tells__the_wheel_decides(fetcher: Fetcher) -> None:
    page = fetcher.upstream.add_project("demo", {WHEEL: LARGE})
    body = fetcher.upstream.reply(page).body.replace(
        f": {len(LARGE)}".encode(), f": {len(LARGE) + 1}".encode()
    )
    fetcher.upstream.put(page, body, "application/vnd.pypi.simple.v1+json")
    facts = await metadata(fetcher, LARGE)
    assert await fetcher.objects.read(facts.object_key) == TRUE and not facts.provisional
    assert await fetcher.events("ranges_contradict") == 1 and asked(fetcher)[-1] == ""


async def test_metadata__another_total_in_the_second_part__the_wheel_decides(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: SCATTERED})
    fetcher.upstream.fault(FILE, Fault(), times=1)
    start, end = 0, SCATTERED.index(b"PK\x03\x04", 10) + 1024
    fetcher.upstream.fault(FILE, _other_total(start, end), times=1)
    facts = await metadata(fetcher, SCATTERED)
    assert await fetcher.objects.read(facts.object_key) == TRUE and not facts.provisional
    assert asked(fetcher)[-1] == ""


@pytest.mark.parametrize(
    ("lie", "times"),
    [
        (Fault(headers={"content-range": "bytes 5-9/4"}), 2),  # also where it is asked by positions then
        (Fault(headers={"content-range": "bytes 0-99999999/100000000"}), 2),
        (Fault(headers={"content-range": "of course"}), 2),
        (Fault(headers={"content-range": ""}), 2),
        (Fault(headers={"content-encoding": "gzip"}), 2),
        (Fault(body=b"<html>sign in</html>", content_type="text/html"), 2),
        (Fault(body=b"x" * 10, headers={"content-range": "bytes 0-9/10"}), 1),
        (Fault(surplus=b"more", headers={"content-length": str(48 * 1024 + 4)}), 2),
        (Fault(flip_at=48 * 1024 - 22), 1),
        (Fault(flip_at=LARGE.index(b"METADATA") + 20 - len(LARGE) + 48 * 1024), 1),
    ],
)
async def test_metadata__ranges_that_are_none_or_wrong__the_wheel_decides(
    fetcher: Fetcher, lie: Fault, times: int
) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: LARGE})
    fetcher.upstream.fault(FILE, lie, times=times)
    facts = await metadata(fetcher, LARGE)
    assert await fetcher.objects.read(facts.object_key) == TRUE and not facts.provisional
    assert asked(fetcher)[-1] == ""


# --- wheels that lie ------------------------------------------------------------------------------


def _ended(claims: bytes) -> bytes:
    """A wheel whose end record has other figures."""
    at = LARGE.rindex(b"PK\x05\x06")
    return LARGE[: at + 8] + claims + LARGE[at + 8 + len(claims) :]


BROKEN = {
    "no metadata": wheel({"padding.bin": PADDING}),
    "several": wheel({f"{INFO}/METADATA": TRUE, "demo-2.dist-info/METADATA": TRUE, "padding.bin": PADDING}),
    "another project's": wheel({"padding.bin": PADDING, "liar-1.0.dist-info/METADATA": TRUE}),
    "names another project": wheel(
        {"padding.bin": PADDING, f"{INFO}/METADATA": core_metadata("liar", "1.0")}
    ),
    "names another version": wheel(
        {"padding.bin": PADDING, f"{INFO}/METADATA": core_metadata("demo", "2.0")}
    ),
    "a bomb": wheel({"padding.bin": PADDING, f"{INFO}/METADATA": TRUE + b"\n" * (3 << 20)}),
    "no archive": b"PK\x03\x04" + PADDING,
    "directory elsewhere": _ended(struct.pack("<HHLL", 1, 1, 100, 5)),
    "directory as long as the file": _ended(struct.pack("<HHLL", 1, 1, len(LARGE), 0)),
    "directory of a million members": _ended(struct.pack("<HHLL", 0xFFFF, 0xFFFF, 60 << 20, 0)),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
async def test_metadata__wheel_that_holds_none_or_lies__as_of_a_stored_wheel(
    fetcher: Fetcher, content: bytes
) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: content})
    with pytest.raises(UpstreamInvalid):
        await metadata(fetcher, content)
    assert asked(fetcher)[-1] == ""
    rows = await fetcher.database.fetch("SELECT filename FROM cached_urls")
    assert [row["filename"] for row in rows] == [WHEEL]  # it was downloaded, and is what was promised


async def test_metadata__directory_longer_than_is_read_by_ranges__the_wheel_is_downloaded(
    fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early_metadata, "MOST_BYTES", 64 * 1024)
    fetcher.upstream.add_project("demo", {WHEEL: LONG_DIRECTORY})
    facts = await metadata(fetcher, LONG_DIRECTORY)
    assert await fetcher.objects.read(facts.object_key) == TRUE and not facts.provisional
    assert len(asked(fetcher)) == 2 and asked(fetcher)[-1] == ""


# --- trouble --------------------------------------------------------------------------------------


async def test_metadata__part_is_cut_once__asked_again(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: LARGE})
    fetcher.upstream.fault(FILE, Fault(cut_at=100), times=1)
    assert (await metadata(fetcher, LARGE)).provisional
    assert len(asked(fetcher)) == 2


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(status=500), UpstreamUnavailable),
        (Fault(status=503), UpstreamUnavailable),
        (Fault(cut_at=100), UpstreamUnavailable),
        (Fault(silent=True), UpstreamTimeout),
        (Fault(stall_at=100), UpstreamTimeout),
    ],
)
async def test_metadata__upstream_is_in_trouble__its_passing_error_and_the_wheel_is_not_tried(
    fetcher: Fetcher, fault: Fault, error: type[Exception]
) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: LARGE})
    await fetcher.index()
    fetcher.upstream.fault(FILE, fault)
    with pytest.raises(error):
        await metadata(fetcher, LARGE)
    assert "" not in asked(fetcher) and await fetcher.nothing_stored()


async def test_metadata__breaker_is_open__its_error_without_a_request(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: LARGE})
    await fetcher.index()
    fetcher.upstream.fault(FILE, Fault(status=503, headers={"retry-after": "60"}))
    for _ in range(2):
        with pytest.raises(PassingError):
            await metadata(fetcher, LARGE)
    assert len(asked(fetcher)) == 1


async def test_metadata__wheel_is_gone_upstream__never_404(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: LARGE})
    await fetcher.index()
    fetcher.upstream.remove(FILE)
    with pytest.raises(UpstreamUnavailable):
        await metadata(fetcher, LARGE)


async def test_metadata__wheel_moved__found_where_its_page_says_now(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: LARGE})
    await fetcher.index()
    fetcher.upstream.remove(FILE)
    fetcher.upstream.put("/elsewhere/" + WHEEL, LARGE)
    page = fetcher.upstream.reply("/simple/demo/").body.replace(
        FILE.encode(), b"/elsewhere/" + WHEEL.encode()
    )
    fetcher.upstream.put("/simple/demo/", page, "application/vnd.pypi.simple.v1+json")
    await fetcher.database.execute("UPDATE index_documents SET fetched_at = fetched_at - interval '1 minute'")
    async with asyncio.timeout(20):
        while True:  # a page that was just fetched is not asked for again
            try:
                assert (await metadata(fetcher, LARGE)).provisional
                return
            except UpstreamUnavailable:
                await asyncio.sleep(0.5)


@pytest.mark.parametrize("what", ["sha256", "protocol, name, version"])
async def test_metadata__blocked__refused_before_anything_is_asked(fetcher: Fetcher, what: str) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: LARGE})
    await fetcher.index()
    values = [bytes.fromhex(sha256(LARGE))] if what == "sha256" else ["pypi", "demo", "1"]
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    await fetcher.database.execute(f"INSERT INTO blocks (reason, {what}) VALUES ('bad', {places})", *values)
    with pytest.raises(OrchardError):
        await fetcher.render("other")  # a rendering looks at the rows first
    with pytest.raises(Blocked):
        await metadata(fetcher, LARGE)
    assert asked(fetcher) == [] and await fetcher.nothing_stored()


async def test_metadata__offline__the_kept_one_or_the_error_of_it(
    upstream: Upstream, environ: dict[str, str]
) -> None:
    other = "demo-2.0-py3-none-any.whl"
    upstream.add_project("demo", {WHEEL: LARGE, other: build_wheel("demo", "2.0")})
    async with running_fetcher(upstream, environ) as fetcher:
        kept = await metadata(fetcher, LARGE)
    async with running_fetcher(upstream, {**environ, "ORCHARD_OFFLINE": "true"}) as fetcher:
        assert await metadata(fetcher, LARGE) == kept
        with pytest.raises(Offline):
            await fetcher.artifact(sha256(build_wheel("demo", "2.0")), f"{other}.metadata")
