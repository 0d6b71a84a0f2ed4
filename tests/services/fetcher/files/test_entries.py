"""A crate whose address is no longer what its source's config.json said: that is read anew before a 404."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from services.fetcher.files.entries import Entries, Found
from services.fetcher.sources import described
from shared.errors import FileNotFound, OrchardError
from shared.queue.jobs import AnyJob, DescribeArtifact, FetchArtifact, FetchIndex
from tests.services.fetcher.conftest import Fetcher, sha256
from tests.support.cargo_builders import PREFIX, Registry
from tests.support.upstream import Fault, Upstream

CONFIG = f"{PREFIX}/config.json"
FILE = ("cargo", "moved", "1.0.0", "moved-1.0.0.crate")


@pytest.fixture
def environ(environ: dict[str, str], upstream: Upstream) -> dict[str, str]:
    return {**environ, "ORCHARD_CARGO_UPSTREAM": f"{upstream.url}{PREFIX}/"}


@pytest.fixture
def crate(upstream: Upstream) -> bytes:
    return Registry(upstream).add("moved", "1.0.0")


def move(upstream: Upstream, crate: bytes, old: Fault) -> None:
    """The source has its crates elsewhere, and the old place answers so."""
    Registry(upstream, dl=f"{upstream.url}/elsewhere")
    upstream.put("/elsewhere/moved/1.0.0/download", crate)
    upstream.fault(Registry.file("moved", "1.0.0"), old)


GONE = Fault(status=404, body=b"")
OLD: Sequence[Fault] = [
    GONE,
    Fault(status=410, body=b""),
    Fault(status=403, body=b""),
    Fault(status=200, body=b"other bytes"),
]


@pytest.mark.parametrize("old", OLD, ids=["404", "410", "403", "other bytes"])
async def test_get__source_moved_its_crates__fetched_from_where_it_says_now(
    fetcher: Fetcher, crate: bytes, old: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fetcher.ended(FetchIndex("cargo", "index/moved"))
    move(fetcher.upstream, crate, old)
    monkeypatch.setattr(described, "AGAIN_SECONDS", 0.0)
    job = FetchArtifact(*FILE)
    await fetcher.ended(job)
    facts = await fetcher.facts(job)
    assert facts is not None and facts.sha256 == sha256(crate)


async def test_head__source_moved_its_crates__described_where_it_says_now(
    fetcher: Fetcher, crate: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fetcher.ended(FetchIndex("cargo", "index/moved"))
    move(fetcher.upstream, crate, GONE)
    monkeypatch.setattr(described, "AGAIN_SECONDS", 0.0)
    event = await fetcher.ended(DescribeArtifact(*FILE))
    assert event.size_bytes == len(crate)


@pytest.mark.parametrize("job", [FetchArtifact(*FILE), DescribeArtifact(*FILE)], ids=["GET", "HEAD"])
async def test_gone__config_cannot_be_read_now__an_error_of_an_upstream_and_404_once_it_can(
    fetcher: Fetcher, crate: bytes, job: AnyJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fetcher.ended(FetchIndex("cargo", "index/moved"))
    fetcher.upstream.fault(Registry.file("moved", "1.0.0"), GONE)
    fetcher.upstream.fault(CONFIG, Fault(status=200, body=b"nonsense"))
    monkeypatch.setattr(described, "AGAIN_SECONDS", 0.0)
    with pytest.raises(OrchardError) as caught:
        await fetcher.ended(job)
    assert caught.value.code == "upstream_unavailable"
    fetcher.upstream.heal(CONFIG)
    with pytest.raises(FileNotFound):
        await fetcher.ended(job)


async def test_gone__config_comes_only_after_the_old_address_was_asked__an_error_of_an_upstream_and_no_404(
    fetcher: Fetcher, crate: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fetcher.ended(FetchIndex("cargo", "index/moved"))
    move(fetcher.upstream, crate, GONE)
    monkeypatch.setattr(described, "AGAIN_SECONDS", 0.0)
    job = FetchArtifact(*FILE)

    async def too_late(*_: object, tried: Found) -> Found:
        return tried  # as where the look at the source outlives its wait

    with monkeypatch.context() as slow, pytest.raises(OrchardError) as caught:
        slow.setattr(Entries, "find_anew", too_late)
        await fetcher.ended(job)
    assert caught.value.code == "upstream_unavailable"
    await fetcher.ended(job)
    facts = await fetcher.facts(job)
    assert facts is not None and facts.sha256 == sha256(crate)


async def test_gone__config_was_just_read__not_asked_for_again(fetcher: Fetcher, crate: bytes) -> None:
    await fetcher.ended(FetchIndex("cargo", "index/moved"))
    fetcher.upstream.fault(Registry.file("moved", "1.0.0"), GONE)
    with pytest.raises(FileNotFound):
        await fetcher.ended(FetchArtifact(*FILE))
    assert fetcher.upstream.count(CONFIG) == 1
