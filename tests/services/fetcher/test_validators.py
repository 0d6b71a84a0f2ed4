"""An ETag goes back to its upstream byte for byte, or not at all: nothing freezes over one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest
import pytest_asyncio

from shared.protocols import PROTOCOLS, protocol_named
from shared.queue.jobs import FetchIndex
from tests.services.fetcher.conftest import WHEEL, Fetcher, running_fetcher
from tests.support import npm_builders
from tests.support.cargo_builders import Registry, index_path
from tests.support.maven_builders import Repository
from tests.support.upstream import Fault, Upstream

SENT_BACK = {  # text of these tests stands for bytes as Latin-1, as the scripted upstream's does
    "obs-text": '"caf\xe9"',
    "obs-text that is UTF-8": '"caf\xc3\xa9"',
    "every byte of it": '"' + "".join(map(chr, range(0x80, 0x100))) + '"',
    "weak": 'W/"caf\xe9"',
    "quotes inside": '"a"b"c"',
    "bare": "abc",
    "longest": '"' + "\xe9" * 4094 + '"',
}
LEFT_OUT = {
    "none": "",
    "too long": '"' + "a" * 4095 + '"',
    "8 kB": '"' + "a" * 8192 + '"',
    "control character": '"a\x01b"',
    "delete": '"a\x7fb"',
}
ETAGS = {**SENT_BACK, **LEFT_OUT}
CONTENT = b"PK\x03\x04" + bytes(range(256)) * 2000
MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT"


def _expected(etag: str) -> str | None:
    return etag if etag in SENT_BACK.values() else None


@pytest.fixture
def environ(environ: dict[str, str], upstream: Upstream) -> Mapping[str, str]:
    return {
        **environ,
        "ORCHARD_NPM_UPSTREAM": f"{upstream.url}/npm/",
        "ORCHARD_MAVEN_UPSTREAM": f"{upstream.url}/maven/",
        "ORCHARD_CARGO_UPSTREAM": f"{upstream.url}/cargo/",
    }


@pytest_asyncio.fixture
async def fetcher(upstream: Upstream, environ: dict[str, str]) -> AsyncIterator[Fetcher]:
    Registry(upstream)
    async with running_fetcher(upstream, environ) as running:
        yield running


def _publish(upstream: Upstream, protocol: str, name: str) -> tuple[str, str]:
    """The project that was published, and the path of its index at the upstream."""
    match protocol:
        case "pypi":
            return name, upstream.add_project(name, {WHEEL: CONTENT})
        case "npm":
            npm_builders.publish(upstream, name, {"1.0.0": {}})
            return name, npm_builders.packument_path(name)
        case "maven":
            return f"org.demo:{name}", "/maven/" + Repository(upstream).add_metadata("org.demo", name, ["1"])
        case "cargo":
            Registry(upstream).add(name, "1.0.0")
            return name, f"/cargo/{index_path(name)}"
    raise AssertionError(f"how does one publish in {protocol}?")


@pytest.mark.parametrize("protocol", [each.name for each in PROTOCOLS])
async def test_index__asked_again__with_the_bytes_of_the_etag_or_without_conditions(
    fetcher: Fetcher, protocol: str
) -> None:
    for number, etag in enumerate(ETAGS.values()):
        project, path = _publish(fetcher.upstream, protocol, f"demo{number}")
        fetcher.upstream.put(path, replace(fetcher.upstream.reply(path), etag=etag))
        identity = protocol_named(protocol).grammar.index_identity(project)
        for _ in range(2):
            await fetcher.ended(FetchIndex(protocol, identity))
            head = (await fetcher.cache.read_index(protocol, identity, "", direct=True)).head
            assert head is not None and (head.status, head.failing) == (200, False), ascii(etag)
        first, second = fetcher.upstream.seen(path)
        assert "if-none-match" not in first.headers
        assert second.headers.get("if-none-match") == _expected(etag)


@pytest.mark.parametrize("before", ["\u2605", '"a\x01b"', '"' + "a" * 8000 + '"', '"caf\xe9"'])
async def test_index__etag_kept_by_a_version_of_before__asked_all_the_same(
    fetcher: Fetcher, before: str
) -> None:
    path = fetcher.upstream.add_project("demo", {WHEEL: CONTENT})
    await fetcher.index()
    await fetcher.database.execute("UPDATE index_documents SET upstream_etag = $1", before)
    assert not (await fetcher.index()).failing
    assert fetcher.upstream.count(path) == 2
    row = await fetcher.artifacts.stored_document("pypi", "simple/demo")
    assert row is not None and row.upstream_etag == fetcher.upstream.reply(path).validator


@pytest.mark.parametrize("modified", ["", MODIFIED], ids=["no date", "dated"])
async def test_file__cut_on_the_way__resumed_by_what_can_be_sent(fetcher: Fetcher, modified: str) -> None:
    for number, etag in enumerate(ETAGS.values()):
        content, name = CONTENT + bytes([number]), f"demo{number}"
        page = fetcher.upstream.add_project(name, {WHEEL: content})
        path = page.replace("/simple/", "/files/") + WHEEL
        fetcher.upstream.put(path, replace(fetcher.upstream.reply(path), etag=etag, last_modified=modified))
        fetcher.upstream.fault(path, Fault(cut_at=300_000), times=1)
        facts = await fetcher.artifact(content, project=name)
        assert await fetcher.objects.read(facts.object_key) == content
        again = fetcher.upstream.seen(path)[1].headers
        strong = _expected(etag) if etag.startswith('"') else None
        assert again.get("if-range") == (strong or modified or None)
        assert again["range"].startswith("bytes=")  # its hash is known
