"""From the text of core metadata to dependencies: PEP 508 requirements and PEP 566 fields."""

from __future__ import annotations

import re

from packaging.metadata import RawMetadata, parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from shared.models import Dependency

MAX_DEPENDENCIES = 10_000

_QUOTED = re.compile(r'"[^"]*"')
_EXTRA = re.compile(r"\bextras?\b")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class BadMetadata(Exception):
    """The metadata cannot be taken for true; the text says why. Never leaves this package."""


def parse_metadata(content: bytes) -> RawMetadata:
    """The fields of a METADATA or PKG-INFO file, as written. Bad encodings in fields that do not
    matter here (a Latin-1 description) are overlooked; raises `BadMetadata` where they do."""
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        raw, unparsed = parse_email(content)
    except (RecursionError, ValueError, TypeError, LookupError, AssertionError, AttributeError) as error:
        raise BadMetadata(f"the metadata cannot be parsed ({type(error).__name__})") from error
    for field in ("name", "version", "requires-dist", "requires-python", "provides-extra", "dynamic"):
        if field in unparsed:
            raise BadMetadata(f"the field {field} is not valid text or is given twice")
    return raw


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
    """Raise `BadMetadata` for what SQL cannot hold: NUL and lone surrogates."""
    for value in values:
        if _UNSTORABLE.search(value):
            raise BadMetadata("the metadata holds NUL or undecodable characters")
