"""The names that rules of `typo_of = ["*"]` compare with: those of this version, or those of a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from services.gateway.api.admin.subjects import read_subject
from shared.errors import ConfigurationError, OrchardError
from shared.policy.reading import MOST_NAMES
from shared.protocols import PROTOCOLS

MAX_BYTES = 4 * 1024 * 1024


class Popular(msgspec.Struct, frozen=True):
    """Canonical names."""

    of: Mapping[str, frozenset[str]]  # by protocol


def popular_names(path: str) -> Popular:
    """`path` "": those that this version knows. Else a file of package URLs, one a line, behind "#" what you
    like: it takes their place in all protocols. Raises `ConfigurationError` with the line."""
    if not path:
        return Popular({each.name: each.names.popular for each in PROTOCOLS})
    found: dict[str, set[str]] = {each.name: set() for each in PROTOCOLS}
    try:
        body = Path(path).read_bytes()
        lines = body.decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise _bad(path, f"cannot be read: {reason}") from None
    if len(body) > MAX_BYTES:
        raise _bad(path, f"is larger than {MAX_BYTES} bytes")
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            named = read_subject(text)
        except OrchardError as error:
            raise _bad(path, f"line {number}: {error.message.removeprefix('of: ')}") from None
        if named.version or named.sha256:
            raise _bad(path, f"line {number}: expected a package URL without a version")
        found[named.protocol].add(named.project)
        if len(found[named.protocol]) > MOST_NAMES:
            raise _bad(path, f"line {number}: more than {MOST_NAMES} names of {named.protocol}")
    return Popular({protocol: frozenset(names) for protocol, names in found.items()})


def _bad(path: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"ORCHARD_POPULAR_NAMES: {path[:200]} {why}")
