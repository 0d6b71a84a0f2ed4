"""From the text of core metadata to dependencies: PEP 508 requirements and PEP 566 fields."""

from __future__ import annotations

import re

from packaging.metadata import RawMetadata, parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from shared.models import Dependency

MAX_DEPENDENCIES = 10_000
MAX_VALUE_CHARACTERS = 10_000  # of one field: parsing a version specifier takes quadratic time

_FIELDS = frozenset(
    (
        b"metadata-version",
        b"name",
        b"version",
        b"requires-dist",
        b"requires-python",
        b"provides-extra",
        b"dynamic",
    )
)
_ABOUT = frozenset((b"license-expression", b"license", b"classifier"))  # of which the first line is read
_MAX_ABOUT = 500
_MAX_ABOUT_BYTES = 1000  # of a line
_FIELD = re.compile(rb"([!-9;-~]+):")  # RFC 5322 §2.2: a field's name is printable ASCII but ":"
_MAX_LINES = 2 * MAX_DEPENDENCIES

_QUOTED = re.compile(r'"[^"]*"')
_EXTRA = re.compile(r"\bextras?\b")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class BadMetadata(Exception):
    """The metadata is invalid; the text says why. Never leaves this package."""


def parse_metadata(content: bytes) -> RawMetadata:
    """The fields of a METADATA or PKG-INFO file, as written. Bad encodings in fields that do not
    matter here (a Latin-1 description) are overlooked; raises `BadMetadata` where they do."""
    try:
        raw, unparsed = parse_email(_needed_fields(content.removeprefix(b"\xef\xbb\xbf")))
    except (RecursionError, ValueError, TypeError, LookupError, AssertionError, AttributeError) as error:
        raise BadMetadata(f"the metadata cannot be parsed ({type(error).__name__})") from error
    for field in unparsed:
        if field.encode() in _FIELDS:
            raise BadMetadata(f"the field {field} is not valid text or is given twice")
    return raw


def _needed_fields(content: bytes) -> bytes:
    """The header lines that are read here, and no body.

    The whole would cost the parser quadratic time (200,000 made-up field names: minutes).
    """
    kept: list[bytes] = []
    told = 0
    wanted = False
    for line in content.splitlines():
        if line[:1] in (b" ", b"\t"):
            if wanted:
                kept.append(line)
            continue
        found = _FIELD.match(line)
        if found is None:
            break  # the blank line before the body, or what ends the header for want of a colon
        name = found[1].lower()
        if name in _ABOUT and told < _MAX_ABOUT:
            told += 1
            kept.append(line[:_MAX_ABOUT_BYTES])
        wanted = name in _FIELDS
        if wanted:
            kept.append(line)
            if len(kept) - told > _MAX_LINES:
                raise BadMetadata(f"more than {_MAX_LINES} lines of dependencies")
    return b"\n".join([*kept, b"", b""])


def parse_dependencies(lines: list[str]) -> tuple[Dependency, ...]:
    """The dependencies of `Requires-Dist` lines, in order.

    One invalid line raises `BadMetadata` for all: a set with an edge missing would be taken for
    complete, for ever, and installers refuse such a file as well.
    """
    if len(lines) > MAX_DEPENDENCIES:
        raise BadMetadata(f"more than {MAX_DEPENDENCIES} dependencies")
    return tuple(_dependency(position, line) for position, line in enumerate(lines))


def _dependency(position: int, line: str) -> Dependency:
    check_storable(line)
    try:
        requirement = Requirement(line)
        marker = str(requirement.marker) if requirement.marker else ""
    except (InvalidRequirement, RecursionError, ValueError) as error:
        raise BadMetadata(f"dependency {position} is no valid requirement: {ascii(line)[:120]}") from error
    return Dependency(
        position=position,
        requirement=line,
        name=canonicalize_name(requirement.name),
        specifier=str(requirement.specifier),
        marker=marker,
        extras=tuple(sorted(requirement.extras)),
        optional=_EXTRA.search(_QUOTED.sub("", marker)) is not None,
    )


def check_storable(*values: str) -> None:
    """Raise `BadMetadata` for what SQL cannot hold (NUL, lone surrogates) and for endless values."""
    for value in values:
        if len(value) > MAX_VALUE_CHARACTERS:
            raise BadMetadata(f"a field is longer than {MAX_VALUE_CHARACTERS} characters")
        if _UNSTORABLE.search(value):
            raise BadMetadata("the metadata holds NUL or undecodable characters")
