"""Reading XML from strangers: no DOCTYPE, no entities, bounded in bytes, depth and elements."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.entities import name2codepoint
from xml.etree.ElementTree import Element, ParseError, TreeBuilder

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

MAX_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 64  # a POM needs about ten, plugin configurations some more
MAX_ELEMENTS = 500_000


# Maven's own reader knows HTML's names for characters (&oslash;), and old POMs use them.
_NAMED = re.compile(rb"&([A-Za-z][A-Za-z0-9]{1,31});")
_OWN_NAMES = (b"amp", b"lt", b"gt", b"quot", b"apos")


class BadXml(Exception):
    """Not a document that is read here; the message says why."""


class _Bounded(TreeBuilder):
    """Builds a tree without namespaces and comments, up to the bounds."""

    def __init__(self, *, attributes: bool) -> None:
        super().__init__()
        self._attributes = attributes
        self._depth = 0
        self._elements = 0

    def start(self, tag: str, attrs: dict[str, str]) -> Element:
        self._depth += 1
        self._elements += 1
        if self._depth > MAX_DEPTH:
            raise BadXml(f"depth: nested deeper than {MAX_DEPTH}")
        if self._elements > MAX_ELEMENTS:
            raise BadXml(f"size: more than {MAX_ELEMENTS} elements")
        return super().start(tag.rpartition("}")[2], attrs if self._attributes else {})

    def end(self, tag: str) -> Element:
        self._depth -= 1
        return super().end(tag.rpartition("}")[2])


def parse(body: bytes, root: str, *, attributes: bool = False) -> Element:
    """The root element, which must have the name `root`. Raises `BadXml`."""
    if len(body) > MAX_BYTES:
        raise BadXml(f"size: more than {MAX_BYTES} bytes")
    if b"&" in body:
        body = _NAMED.sub(_numbered, body)
    target = _Bounded(attributes=attributes)
    parser = DefusedXMLParser(target=target, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    try:
        parser.feed(body)
        found = parser.close()
    except DefusedXmlException as error:
        raise BadXml("it has a DOCTYPE or entities of its own") from error
    except (ParseError, ValueError, LookupError) as error:
        raise BadXml("it is not well-formed XML") from error
    if not isinstance(found, Element) or found.tag != root:
        raise BadXml(f"its root element is not {root}")
    return found


def _numbered(found: re.Match[bytes]) -> bytes:
    code = None if found[1] in _OWN_NAMES else name2codepoint.get(found[1].decode())
    return found[0] if code is None else b"&#%d;" % code


def text_of(element: Element | None, name: str) -> str:
    """The trimmed text of a child, "" if there is none."""
    child = None if element is None else element.find(name)
    return "" if child is None or child.text is None else child.text.strip()


def children_of(element: Element | None, group: str, name: str) -> Iterator[Element]:
    """The elements `group/name`."""
    holder = None if element is None else element.find(group)
    if holder is not None:
        yield from holder.iterfind(name)
