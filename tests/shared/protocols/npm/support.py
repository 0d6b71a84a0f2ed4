"""What the tests of the npm protocol share: the protocol, a source, and short ways to ask."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from shared.models import FileName, SealedFile, UpstreamSource
from shared.protocols import protocol_named
from shared.protocols.npm.document import Document

NPM = protocol_named("npm")
SOURCE = UpstreamSource(id=1, protocol="npm", name="main", url="https://registry.example.com/")
BASE = "https://orchard.example.com/npm"
GOLDEN = Path(__file__).parent / "golden"
NOW = 1_700_000_000.0


def classify(path: bytes, *, query: bytes = b"", accept: str | None = None, method: str = "GET") -> Any:
    headers = {} if accept is None else {b"accept": accept.encode("latin-1")}
    return NPM.grammar.classify(method, path, query, headers)


def named(filename: str) -> FileName:
    return FileName("npm", "demo", "-", filename)


def manifest(version: str = "1.0.0", name: str = "demo", **dist: Any) -> dict[str, Any]:
    base = f"https://registry.example.com/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"
    return {"name": name, "version": version, "dist": {"tarball": base, "shasum": "a" * 40, **dist}}


def packument(*versions: dict[str, Any], name: str = "demo", **top_level: Any) -> dict[str, Any]:
    return {
        "name": name,
        "dist-tags": {"latest": versions[-1]["version"]} if versions else {},
        "versions": {each["version"]: each for each in versions},
        "time": {each["version"]: "2020-01-01T00:00:00.000Z" for each in versions},
        **top_level,
    }


def read(
    body: bytes | dict[str, Any], *, identity: str = "packument/demo", source: UpstreamSource = SOURCE
) -> tuple[Document, tuple[str, ...]]:
    """The document of an upstream's answer and what was dropped of it."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    url = NPM.upstream.upstream_request(identity, source).url
    index = NPM.documents.read_index(identity, source, url=url, content_type="application/json", body=data)
    return NPM.documents.decode_document(index.body), index.dropped


def refreshed(
    previous: Document | None,
    body: dict[str, Any],
    *,
    sealed: tuple[str, ...] = (),
    digests: dict[str, str] | None = None,
    now: float = NOW,
) -> Document:
    """The document after a refresh, as the fetcher makes it."""
    document, _ = read(body, identity=previous.envelope.identity if previous else "packument/demo")
    held = sealed_files(*sealed, digests=digests)
    if not NPM.pages.wants_previous(document, held):
        return document
    body = NPM.pages.carry_over(document, previous, held, now)
    decoded: Document = document if body is None else NPM.documents.decode_document(body)
    return decoded


def sealed_files(*filenames: str, digests: dict[str, str] | None = None) -> dict[tuple[str, str], SealedFile]:
    return {("-", name): SealedFile(name, "-", "f" * 64, 100, digests=digests or {}) for name in filenames}


def rendered(document: Document, representation: str = "full", base: str = BASE) -> dict[str, Any]:
    pages = NPM.pages.rewrite_index(document.envelope.identity, document, sealed={}, base_url=base)
    found: dict[str, Any] = json.loads(pages[representation].body)
    return found
