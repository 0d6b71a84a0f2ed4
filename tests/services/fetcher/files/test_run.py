"""What follows from a stored file, by what its index says of it."""

from __future__ import annotations

import pytest

from services.fetcher.files.run import follow_file
from shared.models import FileEntry, StoredFile
from shared.protocols import protocol_named
from shared.queue.context import JobContext
from shared.queue.events import Claim
from shared.queue.jobs import IN_USE, ExtractDependencies, FetchArtifact, RenderIndex

WHEEL = "demo-1.0-py3-none-any.whl"
OURS, OTHER = "a" * 64, "b" * 64
RENDER = RenderIndex("pypi", "simple/demo", variant=IN_USE)
EXTRACT = ExtractDependencies("pypi", "demo", OURS, WHEEL, OURS)


def following(
    filename: str, hashes: dict[str, str] | None, digests: dict[str, str]
) -> list[tuple[object, float]]:
    async def send(*_: object) -> bool:
        return True

    ctx = JobContext(job_id="", claim=Claim(1, "", ""), try_number=1, payload=b"", epoch="", send=send)
    entry = None if hashes is None else FileEntry(filename, "http://upstream.example/f", OURS, hashes)
    facts = StoredFile(OURS, 1, "", "", filename, digests=digests)
    follow_file(ctx, protocol_named("pypi"), FetchArtifact("pypi", "demo", OURS, filename), facts, entry)
    return list(ctx.following)


@pytest.mark.parametrize(
    ("hashes", "digests", "follows"),
    [
        ({"sha256": OURS}, {"sha1": "c"}, [(EXTRACT, 0)]),
        ({}, {}, [(EXTRACT, 0)]),
        ({}, {"sha1": "c"}, [(EXTRACT, 0), (RENDER, 2.0)]),
        (None, {"sha1": "c"}, [(EXTRACT, 0)]),
    ],
)
def test_file__stored__is_read_and_its_page_shows_digests_that_it_lacks(
    hashes: dict[str, str] | None, digests: dict[str, str], follows: list[tuple[object, float]]
) -> None:
    assert following(WHEEL, hashes, digests) == follows


@pytest.mark.parametrize(
    ("hashes", "follows"),
    [
        ({"sha256": OURS.upper()}, []),
        ({"sha256": f"{OTHER} {OURS}"}, []),
        ({}, []),
        ({"sha256": OTHER}, [(RENDER, 0)]),
        ({"sha512": OTHER}, [(RENDER, 0)]),
        (None, []),
    ],
)
def test_metadata__stored__its_page_is_rendered_where_it_may_tell_another_digest(
    hashes: dict[str, str] | None, follows: list[tuple[object, float]]
) -> None:
    assert following(f"{WHEEL}.metadata", hashes, {}) == follows
