"""What a document tells people of a version: package.json, "description", "homepage", "repository"."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from shared.protocols.npm import names
from shared.protocols.npm.document import Document
from shared.protocols.npm.traits import licence_of, maintainers_of
from shared.protocols.reading.json_text import fields_of, value_of
from shared.protocols.roles.documents import About

LONGEST = 500  # characters of a text
MOST_PEOPLE = 20


def about(document: Document, version: str) -> About:
    """See `Documents.about`. A packument in its short form tells next to nothing."""
    spelt = next((each for each in document.versions if names.canonical_version(each) == version), "")
    fields = fields_of(document.versions.get(spelt))
    return About(
        summary=_text(value_of(fields.get("description"))),
        licence=licence_of(fields),
        homepage=_address(value_of(fields.get("homepage"))),
        repository=_address(value_of(fields.get("repository"))),
        maintainers=maintainers_of(value_of(fields.get("maintainers")))[:MOST_PEOPLE],
    )


def _text(told: Any) -> str:
    return " ".join(told.split())[:LONGEST] if isinstance(told, str) else ""


def _address(told: Any) -> str:
    """An http(s) address; git's form of one ("git+https://…/x.git") as people open it. "" for all else."""
    text = told.get("url") if isinstance(told, dict) else told
    if not isinstance(text, str) or len(text) > LONGEST or not text.isprintable() or " " in text:
        return ""
    if text.startswith("git+"):
        text = text.removeprefix("git+").removesuffix(".git")
    try:
        parts = urlsplit(text)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return ""
    return text if is_web else ""
