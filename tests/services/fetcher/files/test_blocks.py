"""Bytes that are blocked are not kept, under whatever name and however little is known of them before."""

from __future__ import annotations

import asyncio
import json

import pytest

from shared.errors import Blocked, OrchardError
from tests.services.fetcher.conftest import WHEEL, Fetcher, sha256
from tests.support.upstream import Fault

CONTENT = b"PK\x03\x04 evil"


async def _block(fetcher: Fetcher, columns: str, *values: object) -> None:
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    await fetcher.database.execute(
        f"INSERT INTO blocks (reason, {columns}) VALUES ('it steals', {places})", *values
    )
    with pytest.raises(OrchardError):
        await asyncio.wait_for(fetcher.render("other"), 10)  # a rendering looks at the rows first


async def test_bytes_blocked__index_tells_no_digest__nothing_is_kept(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: CONTENT}, hashes=())
    await _block(fetcher, "sha256", bytes.fromhex(sha256(CONTENT)))
    await fetcher.index()
    entry = fetcher.upstream.count(f"/files/demo/{WHEEL}")
    (file_id,) = await _file_ids(fetcher)
    with pytest.raises(Blocked):
        await fetcher.artifact(file_id)
    assert fetcher.upstream.count(f"/files/demo/{WHEEL}") == entry + 1
    assert await fetcher.nothing_stored()
    assert await fetcher.events("blocked_file_refused") == 1


async def test_bytes_blocked__under_the_name_they_were_found_by__upstream_is_not_asked_again(
    fetcher: Fetcher,
) -> None:
    path = f"/files/demo/{WHEEL}"
    fetcher.upstream.add_project("demo", {WHEEL: CONTENT}, hashes=())
    await _block(fetcher, "sha256", bytes.fromhex(sha256(CONTENT)))
    await fetcher.index()
    (file_id,) = await _file_ids(fetcher)
    for _ in range(3):
        with pytest.raises(Blocked):
            await fetcher.artifact(file_id)
    assert fetcher.upstream.count(path) == 1
    assert await fetcher.events("blocked_file_refused") == 1
    await fetcher.database.execute("DELETE FROM blocks")
    with pytest.raises(OrchardError):
        await asyncio.wait_for(fetcher.render("other"), 10)
    assert (await fetcher.artifact(file_id)).sha256 == sha256(CONTENT), "until they are blocked no more"


async def test_version_blocked__upstream_is_not_asked_for_its_file(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: CONTENT})
    await fetcher.index()
    await _block(fetcher, "protocol, name, version", "pypi", "demo", "1")
    with pytest.raises(Blocked):
        await fetcher.artifact(CONTENT)
    assert fetcher.upstream.count(f"/files/demo/{WHEEL}") == 0


async def test_version_blocked_whose_object_is_lost__upstream_is_not_asked_though_other_bytes_are_exempt(
    fetcher: Fetcher,
) -> None:
    """Of an address that does not tell its bytes."""
    fetcher.upstream.add_project("demo", {WHEEL: CONTENT}, hashes=())
    await fetcher.index()
    (file_id,) = await _file_ids(fetcher)
    stored = await fetcher.artifact(file_id)
    await fetcher.objects.delete(stored.object_key)
    await fetcher.database.execute(
        "INSERT INTO exemptions (sha256, reason) VALUES ($1, 'ours')", bytes.fromhex(sha256(b"others"))
    )
    await _block(fetcher, "protocol, name, version", "pypi", "demo", "1")
    with pytest.raises(Blocked):
        await fetcher.artifact(file_id)
    assert fetcher.upstream.count(f"/files/demo/{WHEEL}") == 1


async def test_version_blocked_while_it_is_downloaded__is_not_kept(fetcher: Fetcher) -> None:
    fetcher.upstream.add_project("demo", {WHEEL: CONTENT})
    await fetcher.index()
    path = f"/files/demo/{WHEEL}"
    fetcher.upstream.fault(path, Fault(drip_body_seconds=0.5))
    download = asyncio.create_task(fetcher.artifact(CONTENT))
    while not fetcher.upstream.count(path):
        await asyncio.sleep(0.01)
    await _block(fetcher, "protocol, name, version", "pypi", "demo", "1")
    with pytest.raises(Blocked):
        await download
    assert await fetcher.nothing_stored()
    assert await fetcher.events("blocked_file_refused") == 1


async def _file_ids(fetcher: Fetcher) -> list[str]:
    return [each["url"].split("/")[-2] for each in json.loads(await fetcher.page())["files"]]
