"""The list of all projects, written for a client while it is read (docs/decisions/0061).

Only JSON is read so: it is taken apart between entries, and each is looked at as in `projects.py`. A text
that is broken, or written so that only the whole tells what it says, is an error here: it is answered once it
was read whole.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from shared.errors import UpstreamInvalid
from shared.protocols.pypi import html_pages, negotiation
from shared.protocols.pypi.meta import check_meta
from shared.protocols.pypi.projects import MAX_PROJECTS, entries_of, name_of
from shared.protocols.reading.json_text import Fields, Raw, value_of
from shared.protocols.reading.links import Dropped
from shared.protocols.roles.pages import Relayed

MOST_HELD_BYTES = 4 * 1024 * 1024
"""Of text that is not taken apart yet: what stands before the list, an entry, what stands behind the list."""

_START = re.compile(rb'"projects"\s*:\s*\[')
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{},]', re.DOTALL)
_NONE = Raw(b"null")  # in place of the list
_BLANKS = b" \t\r\n"
_decode_fields = msgspec.json.Decoder(Fields).decode
_encode = msgspec.json.Encoder().encode


def relayed(representation: str, content_type: str) -> Relayed | None:
    """See `Pages.relayed`, of the list of all projects."""
    if "html" in content_type.lower():
        return None
    return RelayedHtml() if representation == "html" else RelayedJson()


class RelayedJson(Relayed):
    """As JSON (PEP 691): the entries as they were written."""

    content_type = negotiation.JSON

    def __init__(self) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._rest = b""  # of the text
        self._before: dict[str, Any] | None = None  # what stands before the list, once that has begun
        self._ended = False  # the list: `_rest` begins with its bracket
        self._count = 0
        self._dropped = Dropped()
        self._comma = b""

    def feed(self, text: bytes) -> bytes:
        """See the role."""
        try:
            self._utf8.decode(text)
        except ValueError as error:
            raise _unfit("is not UTF-8") from error
        self._rest += text
        out = self._begin() if self._before is None else b""
        if self._before is not None and not self._ended:
            out += self._entries(self._taken())
        if len(self._rest) > MOST_HELD_BYTES:
            raise _unfit("cannot be taken apart")
        return out

    def end(self) -> bytes:
        """See the role."""
        if self._before is None:
            raise _unfit("has no list of projects")
        out = b""
        if not self._ended:
            _, end = _bounds(self._rest)
            if end < 0:
                raise _unfit("is cut")
            out = self._entries(self._last(end))
        after = _fields(b'{"projects":null' + self._rest[1:])
        if after is None or after.pop("projects") != _NONE or self._before.keys() & after.keys():
            raise _unfit("says something twice, or is broken behind its list")
        return out + self._tail(after, self._before)

    # --- the parts of the text --------------------------------------------------------------------

    def _begin(self) -> bytes:
        if self._rest.lstrip(_BLANKS)[:1] not in (b"{", b""):
            raise _unfit("is no JSON object")
        for found in _START.finditer(self._rest):
            before = _fields(self._rest[: found.start()] + b'"projects":null}')
            if before is None:
                continue  # that stands in a text, or further inside
            if before.popitem()[0] != "projects":
                raise _unfit("has two lists of projects")
            self._rest = self._rest[found.end() :]
            self._before = self._with_meta(before) if "meta" in before else {**before}
            return self._head(self._before)
        return b""

    def _taken(self) -> bytes:
        """The text of the entries that are there whole. What stands before some "}," is the inside of a list
        only where that stands between two entries."""
        at = self._rest.rfind(b"},") + 1
        if at and entries_of(self._rest[:at]) is not None:
            return self._cut(at)
        comma, end = _bounds(self._rest)
        if end >= 0:
            return self._last(end)
        return self._cut(comma) if comma >= 0 else b""

    def _cut(self, at: int) -> bytes:
        piece, self._rest = self._rest[:at], self._rest[at + 1 :]  # without the comma
        return piece

    def _last(self, end: int) -> bytes:
        self._ended = True
        piece, self._rest = self._rest[:end], self._rest[end:]
        return piece

    def _entries(self, text: bytes) -> bytes:
        found = entries_of(text)
        if found is None:
            raise _unfit("holds what is no JSON")
        self._count += len(found)
        if self._count > MAX_PROJECTS:
            raise _unfit(f"lists more than {MAX_PROJECTS} projects")
        return self._written(found)

    def _with_meta(self, fields: Fields) -> dict[str, Any]:
        page: dict[str, Any] = {**fields, "meta": value_of(fields.get("meta"))}
        check_meta(page, self._dropped)
        return page

    # --- what is written ----------------------------------------------------------------------------

    def _head(self, before: dict[str, Any]) -> bytes:
        return _encode(before)[:-1] + (b"," if before else b"") + b'"projects":['

    def _written(self, entries: Iterable[Raw]) -> bytes:
        kept = [entry for entry in entries if name_of(entry, self._dropped)]
        if not kept:
            return b""
        comma, self._comma = self._comma, b","
        return comma + b",".join(map(memoryview, kept))

    def _tail(self, after: Fields, before: dict[str, Any]) -> bytes:
        fields: dict[str, Any] = after if "meta" in before else self._with_meta(after)
        return b"]" + (b"," if fields else b"") + _encode(fields)[1:]


class RelayedHtml(RelayedJson):
    """As HTML (PEP 503), which says the version of the API first."""

    content_type = negotiation.DEFAULT[1]

    def _head(self, before: dict[str, Any]) -> bytes:
        if "meta" not in before:
            raise _unfit("tells its version behind its list")
        version = str(before["meta"]["api-version"])
        return html_pages.head(version, [], html_pages.LIST_TITLE).encode()

    def _written(self, entries: Iterable[Raw]) -> bytes:
        named = (name_of(entry, self._dropped) for entry in entries)
        return "".join(map(html_pages.project_link, filter(None, named))).encode()

    def _tail(self, after: Fields, before: dict[str, Any]) -> bytes:
        return html_pages.END.encode()


def _bounds(inside: bytes) -> tuple[int, int]:
    """Of the inside of a list: where its last comma stands, and the bracket that ends it; -1: not there."""
    depth, comma = 0, -1
    for found in _TOKEN.finditer(inside):
        token = found[0]
        if token == b'"':
            break  # a text that is not there whole
        if token in b"[{":
            depth += 1
        elif token in b"]}":
            depth -= 1
            if depth < 0:
                return comma, found.start()
        elif token == b"," and not depth:
            comma = found.start()
    return comma, -1


def _fields(text: bytes) -> Fields | None:
    try:
        return _decode_fields(text)
    except (msgspec.DecodeError, ValueError):
        return None


def _unfit(why: str) -> UpstreamInvalid:
    return UpstreamInvalid(f"the upstream's list of projects {why}")
