"""Reading ahead, in a whole fetcher: what is fetched before anybody asks, and what never is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from shared.errors import OrchardError
from shared.protocols.roles.ahead import MOST_WANTED
from shared.queue.jobs import AHEAD, Asker, FetchArtifact, FetchIndex
from tests.services.fetcher.conftest import Fetcher, running_fetcher, sha256
from tests.support.builders import build_wheel
from tests.support.orchard import SECRET_KEY
from tests.support.upstream import Fault, Reply, Upstream

KEY = {"ORCHARD_SECRET_KEY": SECRET_KEY}  # for addresses with a password
ASKER = Asker("client", "cp312-manylinux_2_36_x86_64")


def offer(upstream: Upstream, name: str, *requires: str, version: str = "1.0") -> bytes:
    """A project with one wheel; its content."""
    content = build_wheel(name, version, requires=requires)
    upstream.add_project(name, {f"{name}-{version}-py3-none-any.whl": content})
    return content


def page_of(name: str) -> FetchIndex:
    return FetchIndex("pypi", f"simple/{name}", variant="json.gzip", asker=ASKER)


def metadata_of(name: str, content: bytes) -> FetchArtifact:
    return FetchArtifact("pypi", name, sha256(content), f"{name}-1.0-py3-none-any.whl.metadata", asker=ASKER)


def pages_seen(upstream: Upstream) -> set[str]:
    return {each.path.split("/")[2] for each in upstream.seen() if each.path.startswith("/simple/")}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def quiet(fetcher: Fetcher) -> None:
    """Return when no guess waits or runs, and none comes after it."""
    still = 0
    async with asyncio.timeout(20):
        while still < 10:
            depth = (await fetcher.queue.depths([AHEAD]))[AHEAD]
            still = 0 if depth.ready or depth.running else still + 1
            await asyncio.sleep(0.02)


async def test_page__its_likeliest_wheel__metadata_is_fetched_and_waits_to_be_asked_for(
    fetcher: Fetcher,
) -> None:
    content = offer(fetcher.upstream, "demo", "other>=1")
    offer(fetcher.upstream, "other")
    await fetcher.ended(page_of("demo"))
    await until(lambda: bool(fetcher.upstream.seen("/files/demo/demo-1.0-py3-none-any.whl")))
    await quiet(fetcher)
    assert pages_seen(fetcher.upstream) == {"demo"}, "which version is wanted nobody knows yet"
    job = metadata_of("demo", content)
    assert await fetcher.facts(job) is not None
    await fetcher.queue.announce("asked", [job.id])
    await until(lambda: "other" in pages_seen(fetcher.upstream))


async def test_metadata__of_a_client__the_rest_of_its_graph_is_fetched(fetcher: Fetcher) -> None:
    content = offer(fetcher.upstream, "demo", "one>=1", "two; python_version < '3'", "three; extra == 'more'")
    offer(fetcher.upstream, "one", "leaf[more]<2", "demo")  # a cycle
    offer(fetcher.upstream, "leaf", "last; extra == 'more'", "other; extra == 'else'")
    offer(fetcher.upstream, "last")
    await fetcher.ended(FetchIndex("pypi", "simple/demo"))
    await fetcher.ended(metadata_of("demo", content))
    await until(lambda: bool(fetcher.upstream.seen("/files/last/last-1.0-py3-none-any.whl")))
    await quiet(fetcher)
    assert pages_seen(fetcher.upstream) == {"demo", "one", "leaf", "last"}
    assert max(fetcher.upstream.count(f"/simple/{name}/") for name in ("demo", "one", "leaf", "last")) == 1


async def test_page__what_its_client_is_known_to_want__decides_the_wheel(fetcher: Fetcher) -> None:
    content = offer(fetcher.upstream, "demo", "other<2")
    wheels = {
        f"other-{version}-py3-none-any.whl": build_wheel("other", version) for version in ("1.5", "2.0")
    }
    fetcher.upstream.add_project("other", wheels)
    await fetcher.ended(FetchIndex("pypi", "simple/demo"))
    await fetcher.ended(metadata_of("demo", content))
    await until(lambda: bool(fetcher.upstream.seen("/files/other/other-1.5-py3-none-any.whl")))
    await quiet(fetcher)
    assert not fetcher.upstream.seen("/files/other/other-2.0-py3-none-any.whl")


@pytest.mark.parametrize("asker", [None, Asker("client", ""), Asker("client", "nonsense")])
async def test_page__of_nobody_who_resolves__nothing_follows(fetcher: Fetcher, asker: Asker | None) -> None:
    offer(fetcher.upstream, "demo", "other")
    await fetcher.ended(FetchIndex("pypi", "simple/demo", asker=asker))
    await quiet(fetcher)
    assert not fetcher.upstream.seen("/files/demo/demo-1.0-py3-none-any.whl")


@pytest.mark.parametrize(
    "requires",
    [
        [f"project{number}" for number in range(10_000)],
        ["../../etc/passwd", "a b", "http://127.0.0.1/x", "x @ http://127.0.0.1/x.whl", "-", "é", "a" * 300],
    ],
    ids=["10,000", "hostile names"],
)
async def test_metadata__a_trap__nothing_is_fetched(fetcher: Fetcher, requires: list[str]) -> None:
    content = offer(fetcher.upstream, "demo", *requires)
    await fetcher.ended(FetchIndex("pypi", "simple/demo"))
    await fetcher.ended(metadata_of("demo", content))
    await quiet(fetcher)
    assert pages_seen(fetcher.upstream) == {"demo"}


async def test_metadata__wants_more_than_is_kept_of_a_client__that_is_no_guess(fetcher: Fetcher) -> None:
    long = "long" + ",".join(f"!=0.{number}" for number in range(MOST_WANTED // 4))
    content = offer(fetcher.upstream, "demo", long, "short>=1")
    for name in ("long", "short"):
        offer(fetcher.upstream, name)
    await fetcher.ended(FetchIndex("pypi", "simple/demo"))
    await fetcher.ended(metadata_of("demo", content))
    await until(lambda: "short" in pages_seen(fetcher.upstream))
    await quiet(fetcher)
    assert pages_seen(fetcher.upstream) == {"demo", "short"}


async def test_metadata__of_a_wheel_that_gives_no_ranges__is_not_downloaded_for_a_guess(
    fetcher: Fetcher,
) -> None:
    content = build_wheel("demo", "1.0", size_bytes=700_000)
    fetcher.upstream.add_project("demo", {"demo-1.0-py3-none-any.whl": content})
    path = "/files/demo/demo-1.0-py3-none-any.whl"
    fetcher.upstream.put(path, Reply(content, ranges=False))
    await fetcher.ended(page_of("demo"))
    await until(lambda: bool(fetcher.upstream.seen(path)))
    await quiet(fetcher)
    assert all("range" in each.headers for each in fetcher.upstream.seen(path))
    assert await fetcher.nothing_stored()


async def test_slow_upstream__few_guesses_are_in_flight_and_none_waits(
    fetcher: Fetcher,
) -> None:
    slots = fetcher.settings.ahead_slots
    content = offer(fetcher.upstream, "demo", *(f"dep{number}" for number in range(3 * slots)))
    for number in range(3 * slots):
        offer(fetcher.upstream, f"dep{number}")
        fetcher.upstream.fault(f"/simple/dep{number}/", Fault(silent=True))
    await fetcher.ended(FetchIndex("pypi", "simple/demo"))
    await fetcher.ended(metadata_of("demo", content))
    await until(lambda: len(pages_seen(fetcher.upstream)) > slots)
    depth = (await fetcher.queue.depths([AHEAD]))[AHEAD]
    assert (depth.ready, depth.running) == (0, slots)
    offer(fetcher.upstream, "wanted")
    await fetcher.index("wanted")  # what is asked for does not wait


async def follows(upstream: Upstream, environ: dict[str, str], **more: str) -> set[str]:
    """The pages that are asked for upstream when a client has asked for demo's page and metadata; demo needs
    other."""
    content = offer(upstream, "demo", "other")
    offer(upstream, "other")
    async with running_fetcher(upstream, KEY | environ | more) as fetcher:
        await fetcher.ended(FetchIndex("pypi", "simple/demo"))
        await fetcher.ended(metadata_of("demo", content))
        await quiet(fetcher)
    return pages_seen(upstream)


@pytest.mark.parametrize("private", ["", "user:secret@"])
async def test_source__the_only_one__is_asked_ahead(
    upstream: Upstream, environ: dict[str, str], private: str
) -> None:
    url = f"{upstream.url.replace('://', f'://{private}')}/simple/"
    assert await follows(upstream, environ, ORCHARD_PYPI_UPSTREAM=url) == {"demo", "other"}


@pytest.mark.parametrize(
    "more", [{"ORCHARD_READ_AHEAD": "off"}, {"ORCHARD_PYPI_UPSTREAM": "{url}/simple/#ahead=off"}]
)
async def test_source__is_metered__nothing_but_what_is_asked(
    upstream: Upstream, environ: dict[str, str], more: dict[str, str]
) -> None:
    more = {name: value.format(url=upstream.url) for name, value in more.items()}
    assert await follows(upstream, environ, **more) == {"demo"}


async def test_sources__whose_a_name_is_nobody_knows__none_is_asked_for_it(
    upstream: Upstream, environ: dict[str, str]
) -> None:
    with upstream.twin() as second:
        urls = f"{upstream.url}/simple/,{second.url}/simple/"
        assert await follows(upstream, environ, ORCHARD_PYPI_UPSTREAM=urls) == {"demo"}
        assert "other" not in pages_seen(second)


async def test_sources__a_private_one_names_what_is_anothers__it_is_not_asked_for(
    upstream: Upstream, environ: dict[str, str]
) -> None:
    with upstream.twin() as second:
        offer(second, "other")
        private = f"{upstream.url.replace('://', '://user:secret@')}/simple/"
        urls = f"{private},{second.url}/simple/"
        content = offer(upstream, "demo", "other")
        async with running_fetcher(upstream, KEY | environ | {"ORCHARD_PYPI_UPSTREAM": urls}) as fetcher:
            await fetcher.index("other")  # pinned to the second
            await fetcher.cache_redis.raw.flushdb()
            await fetcher.ended(FetchIndex("pypi", "simple/demo"))
            before = len(second.seen())
            await fetcher.ended(metadata_of("demo", content))
            await quiet(fetcher)
            assert len(second.seen()) == before


async def test_blocked__neither_a_project_nor_a_version_is_fetched(fetcher: Fetcher) -> None:
    content = offer(fetcher.upstream, "demo", "bad", "partly")
    offer(fetcher.upstream, "bad")
    wheels = {
        f"partly-{version}-py3-none-any.whl": build_wheel("partly", version) for version in ("1.0", "2.0")
    }
    fetcher.upstream.add_project("partly", wheels)
    await fetcher.database.execute(
        "INSERT INTO blocks (protocol, name, version, reason) VALUES ('pypi', 'bad', '', 'x'), "
        "('pypi', 'partly', '2', 'x')"
    )
    await fetcher.ended(FetchIndex("pypi", "simple/demo"))
    with pytest.raises(OrchardError):
        await fetcher.index("bad")  # the block is known here
    await fetcher.ended(metadata_of("demo", content))
    await until(lambda: bool(fetcher.upstream.seen("/files/partly/partly-1.0-py3-none-any.whl")))
    await quiet(fetcher)
    assert pages_seen(fetcher.upstream) == {"demo", "partly"}
    assert not fetcher.upstream.seen("/files/partly/partly-2.0-py3-none-any.whl")


async def test_guess__somebody_asks_while_it_runs__he_gets_its_end(fetcher: Fetcher) -> None:
    content = build_wheel("demo", "1.0", size_bytes=700_000)
    path = "/files/demo/demo-1.0-py3-none-any.whl"
    fetcher.upstream.add_project("demo", {"demo-1.0-py3-none-any.whl": content})
    fetcher.upstream.put(path, Reply(content, ranges=False))
    fetcher.upstream.fault(path, Fault(delay_seconds=1), times=1)
    await fetcher.ended(page_of("demo"))
    await until(lambda: bool(fetcher.upstream.seen(path)))
    relayed = msgspec.structs.replace(metadata_of("demo", content), abandonable=True)  # as gateways ask
    await fetcher.ended(relayed)
    assert await fetcher.facts(relayed) is not None
    whole = [each for each in fetcher.upstream.seen(path) if "range" not in each.headers]
    assert len(whole) == 1, "now somebody waits for it, whatever it takes"


async def test_page__its_metadata_is_there_already__leads_to_pages_that_are_not(fetcher: Fetcher) -> None:
    content = offer(fetcher.upstream, "demo", "other")
    offer(fetcher.upstream, "other")
    await fetcher.index()
    await fetcher.artifact(sha256(content), "demo-1.0-py3-none-any.whl.metadata")
    await fetcher.ended(page_of("demo"))
    await until(lambda: "other" in pages_seen(fetcher.upstream))


async def test_page__all_that_follows_is_there_and_fresh__nothing_is_asked(fetcher: Fetcher) -> None:
    content = offer(fetcher.upstream, "demo", "other")
    offer(fetcher.upstream, "other")
    for name in ("demo", "other"):
        await fetcher.index(name)
    await fetcher.artifact(sha256(content), "demo-1.0-py3-none-any.whl.metadata")
    await fetcher.ended(page_of("demo"))
    await quiet(fetcher)
    assert fetcher.upstream.count("/simple/other/") == 1
