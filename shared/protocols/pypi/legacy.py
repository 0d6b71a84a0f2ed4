"""The legacy JSON API: the upstream's document with its file URLs turned into Orchard's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from shared.models import SealedFile
from shared.protocols.base import Rendering
from shared.protocols.pypi.document import Document
from shared.protocols.pypi.sealing import SealedFiles

_encoder = msgspec.json.Encoder()


def render_legacy(
    document: Document, sealed: Mapping[tuple[str, str], SealedFile], base_url: str
) -> dict[str, Rendering]:
    """The one representation of a legacy document; only the `url` of each file is changed.

    These links are absolute in every registry, so the body differs per public base URL.
    """
    prefix = f"{base_url}/files/{document.project}/"
    held = SealedFiles(document, sealed)
    page = dict(document.page)
    if "urls" in page:
        page["urls"] = [_served(file, document, held, prefix) for file in page["urls"]]
    if isinstance(page.get("releases"), dict):
        page["releases"] = {
            version: [_served(file, document, held, prefix) for file in files]
            for version, files in page["releases"].items()
        }
    return {"json": Rendering(_encoder.encode(page), "application/json")}


def _served(file: dict[str, Any], document: Document, held: SealedFiles, prefix: str) -> dict[str, Any]:
    filename = file["filename"]
    served = dict(file)
    sha256 = file["digests"].get("sha256")
    sealed = held.find({"filename": filename, "hashes": file["digests"]}) if held.any else None
    if sealed is None:
        file_id = sha256 or document.stable_id(filename)
    else:
        file_id = sealed.file_id
        if sha256 is not None and sha256 != sealed.sha256:  # the first bytes stay, so do their facts
            served["digests"] = {"sha256": sealed.sha256}
            served["size"] = sealed.size_bytes
    served["url"] = f"{prefix}{file_id}/{filename}"
    return served
