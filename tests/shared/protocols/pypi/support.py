"""What the tests of the PyPI protocol share: the protocol, a source, and short ways to ask."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.models import FileName, SealedFile, UpstreamSource
from shared.protocols import protocol_named
from shared.protocols.pypi.document import Document
from shared.protocols.roles.pages import Rendering

PYPI = protocol_named("pypi")
SOURCE = UpstreamSource(id=1, protocol="pypi", name="main", url="https://index.example.com/simple/")
JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"
TEXT = "text/html; charset=utf-8"
GOLDEN = Path(__file__).parent / "golden"


def classify(path: bytes, *, query: bytes = b"", accept: str | None = None, method: str = "GET") -> Any:
    headers = {} if accept is None else {b"accept": accept.encode("latin-1")}
    return PYPI.grammar.classify(method, path, query, headers)


def read(body: bytes | dict[str, Any] | str, *, project: str = "demo", content_type: str = "") -> Document:
    """The document of an upstream's answer; a dict is sent as JSON, text as HTML."""
    return read_with_drops(body, project=project, content_type=content_type)[0]


def read_with_drops(
    body: bytes | dict[str, Any] | str, *, project: str = "demo", content_type: str = "", identity: str = ""
) -> tuple[Document, tuple[str, ...]]:
    if isinstance(body, dict):
        body, content_type = json.dumps(body).encode(), content_type or JSON
    elif isinstance(body, str):
        body, content_type = body.encode(), content_type or "text/html"
    identity = identity or PYPI.grammar.index_identity(project)
    url = f"https://index.example.com/simple/{project}/" if project else "https://index.example.com/simple/"
    index = PYPI.documents.read_index(identity, SOURCE, url=url, content_type=content_type, body=body)
    return PYPI.documents.decode_document(index.body), index.dropped


def render(
    document: Document, *, sealed: tuple[SealedFile, ...] = (), base_url: str = ""
) -> Mapping[str, Rendering]:
    by_key = {(item.file_id, item.filename): item for item in sealed}
    return PYPI.pages.rewrite_index(document.envelope.identity, document, sealed=by_key, base_url=base_url)


def rendered_json(document: Document, *, sealed: tuple[SealedFile, ...] = ()) -> dict[str, Any]:
    page: dict[str, Any] = json.loads(render(document, sealed=sealed)["json"].body)
    return page


def rendered_html(document: Document, *, sealed: tuple[SealedFile, ...] = ()) -> str:
    return render(document, sealed=sealed)["html"].body.decode()


def page(*files: dict[str, Any], **top_level: Any) -> dict[str, Any]:
    return {"meta": {"api-version": "1.1"}, "name": "demo", "files": list(files), **top_level}


def named(file_id: str, filename: str = "demo-1.0-py3-none-any.whl") -> FileName:
    return FileName("pypi", "demo", file_id, filename)


def entry(filename: str = "demo-1.0-py3-none-any.whl", **keys: Any) -> dict[str, Any]:
    url = f"https://files.example.com/packages/{filename}"
    return {"filename": filename, "url": url, "hashes": {"sha256": "a" * 64}, **keys}


def links(*anchors: str, head: str = "") -> str:
    """An HTML index page around the anchors."""
    body = "\n".join(anchors)
    return f"<!DOCTYPE html><html><head>{head}<title>Links for demo</title></head><body>{body}</body></html>"
