"""The source without a network answers as an upstream does, and for nothing that is not its own."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import httpx
import pytest

from services.fetcher.http.imported import ImportedFiles
from services.fetcher.http.manager import HttpClientManager
from shared.errors import OrchardError
from shared.errors.passing import ObjectMissing
from shared.imports import rows
from shared.models import UpstreamSource
from shared.objects.port import artifact_key
from shared.process.resources import Resources
from shared.protocols import PROTOCOLS
from shared.protocols.roles.importing import Imported, Listed
from shared.settings import load_settings
from shared.stores import Stores, open_stores

BODY = b"0123456789"
SHA256 = hashlib.sha256(BODY).hexdigest()
FILE = Imported(
    Listed("acme", "1.0", "acme-1.0.tar.gz", "acme/acme-1.0.tar.gz", b"{}"),
    SHA256,
    len(BODY),
    {"sha1": hashlib.sha1(BODY, usedforsecurity=False).hexdigest()},
)
ROOT = rows.address_of("pypi")


@pytest.fixture
async def stores(store_settings: dict[str, str]) -> AsyncIterator[Stores]:
    async with Resources() as resources:
        stores = await open_stores(resources, load_settings(store_settings), max_connections=4)
        await stores.bare_objects.put_bytes(artifact_key(SHA256), BODY)
        await rows.store(stores.database, "pypi", [FILE])
        yield stores


async def ask(
    stores: Stores, url: str, method: str = "GET", **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    imports = ImportedFiles(stores.database, stores.objects)
    async with imports.answer(httpx.Request(method, url, headers=headers)) as found:
        body = b"".join([chunk async for chunk in found.aiter_raw()])
        return found.status_code, body, dict(found.headers)


async def test_file__is_given_with_its_digests(stores: Stores) -> None:
    status, body, headers = await ask(stores, f"{ROOT}acme/acme-1.0.tar.gz")
    assert (status, body, headers["content-length"]) == (200, BODY, "10")
    await rows.store(stores.database, "maven", [FILE])
    _, _, headers = await ask(stores, f"{rows.address_of('maven')}acme/acme-1.0.tar.gz")
    assert headers["x-checksum-sha1"] == FILE.digests["sha1"]


@pytest.mark.parametrize(
    ("wanted", "status", "body", "told"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=-3", 200, BODY, ""),  # as a server that does not know this form (RFC 9110 §14.2)
        ("lines=1-2", 200, BODY, ""),
    ],
)
async def test_range__is_cut_out(stores: Stores, wanted: str, status: int, body: bytes, told: str) -> None:
    found = await ask(stores, f"{ROOT}acme/acme-1.0.tar.gz", Range=wanted)
    assert found[:2] == (status, body)
    assert found[2].get("content-range", "") == told


async def test_head__has_no_body(stores: Stores) -> None:
    for path in ("acme/acme-1.0.tar.gz", "acme/"):
        status, body, headers = await ask(stores, ROOT + path, "HEAD")
        assert (status, body) == (200, b"")
        assert int(headers["content-length"]) > 0


@pytest.mark.parametrize(
    "path",
    [
        "",
        "other/",
        "acme/other.whl",
        "acme",
        "../npm/acme",
        "acme/%00",
        "a%2F..%2Facme/",
        "acme/json",
        "pypi",
    ],
)
async def test_what_was_not_imported__is_404(stores: Stores, path: str) -> None:
    if path == "acme":  # a page lies with or without its slash
        assert (await ask(stores, ROOT + path))[0] == 200
        return
    assert (await ask(stores, ROOT + path))[0] == 404


async def test_other_methods__are_refused(stores: Stores) -> None:
    assert (await ask(stores, f"{ROOT}acme/", "POST"))[0] == 405


@pytest.mark.parametrize("protocol", [each.name for each in PROTOCOLS])
async def test_project_that_nobody_imported__is_404_in_every_protocol(stores: Stores, protocol: str) -> None:
    found = next(each for each in PROTOCOLS if each.name == protocol)
    source = UpstreamSource(1, protocol, "import", rows.address_of(protocol))
    project = "com.acme:none" if ":" in found.names.example else "acme-none"
    asked = found.upstream.upstream_request(found.grammar.index_identity(project), source)
    assert (await ask(stores, asked.url))[0] == 404


async def test_object_that_is_gone__is_a_failure_and_no_404(stores: Stores) -> None:
    await stores.bare_objects.delete(artifact_key(SHA256))
    with pytest.raises(ObjectMissing):
        await ask(stores, f"{ROOT}acme/acme-1.0.tar.gz")


async def test_manager__asks_no_network_for_these_alone(stores: Stores) -> None:
    imports = ImportedFiles(stores.database, stores.objects)
    source = UpstreamSource(1, "pypi", "import", ROOT)
    async with HttpClientManager(imports=imports, connect_timeout_seconds=5) as http:
        found = await http.fetch(source, f"{ROOT}acme/", max_bytes=10_000, deadline_seconds=30)
        assert (found.status, b'"acme-1.0.tar.gz"' in found.body) == (200, True)
        assert http.stats().connects == 0
        # A file elsewhere, that a page of such a source cannot name, is asked for as ever: this host is none.
        with pytest.raises(OrchardError):
            await http.fetch(source, "https://a.invalid/x", max_bytes=10_000, deadline_seconds=30)
    async with HttpClientManager(connect_timeout_seconds=5) as before:
        with pytest.raises(OrchardError, match="upstream import"):
            await before.fetch(source, f"{ROOT}acme/", max_bytes=10_000, deadline_seconds=30)
