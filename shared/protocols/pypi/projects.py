"""The list of all projects: of tens of megabytes, so its entries stay text and are looked at one by one.

As objects they would take six times the memory of the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from shared.errors import UpstreamInvalid
from shared.protocols.pypi import names
from shared.protocols.reading.json_text import Raw, read_object, value_of
from shared.protocols.reading.links import Dropped

MAX_PROJECTS = 1_000_000


class Named(msgspec.Struct, frozen=True, gc=False):
    """What Orchard reads of an entry, and all that HTML says of a project."""

    name: str


_decode_name = msgspec.json.Decoder(Named).decode
_split = msgspec.json.Decoder(list[Raw]).decode


def read_json(body: bytes, dropped: Dropped) -> dict[str, Any]:
    """The page, its `meta` decoded, its `projects` those entries that name one, as they were written."""
    try:
        fields, _ = read_object(body)
        entries = _split(fields.get("projects", Raw(b"null")))
    except (ValueError, msgspec.DecodeError) as error:
        raise UpstreamInvalid("the upstream's index has no list of projects, or is not valid JSON") from error
    if len(entries) > MAX_PROJECTS:
        raise UpstreamInvalid(f"the upstream's index lists more than {MAX_PROJECTS} projects")
    kept = [entry for entry in entries if name_of(entry, dropped)]
    return {**fields, "meta": value_of(fields.get("meta")), "projects": kept}


def name_of(entry: Raw, dropped: Dropped) -> str:
    """The project that an entry names; "" for one that names none."""
    try:
        name = _decode_name(entry).name
        if names.is_project(name):
            return name
    except (msgspec.DecodeError, ValueError):
        pass
    dropped.add("not a project's name", bytes(memoryview(entry)[:100]))
    return ""


def entries_of(text: bytes) -> list[Raw] | None:
    """The entries in the inside of a list; None where it is no such inside."""
    try:
        return _split(b"[" + text + b"]")
    except (msgspec.DecodeError, ValueError):
        return None


def listed(projects: Raw) -> Iterator[str]:
    """The names in a list that was kept."""
    for entry in _split(projects):
        yield _decode_name(entry).name
