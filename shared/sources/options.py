"""An operator's options of one upstream source: `SourceOptions`, and its two spellings.

As a fragment of an address in ORCHARD_*_UPSTREAM
(`https://repo.example.com/maven/#absent=403&checksums=warn`), and as an object in the admin API and the
column `upstream_sources.options`.
"""

from __future__ import annotations

import re
from typing import Any, Literal
from urllib.parse import parse_qsl

import msgspec

from shared.errors import ConfigurationError

Checksums = Literal["fail", "warn", "ignore"]

_GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# 408, 425 and 429 ask for patience, and 407 is a proxy's: none of them says anything about a file.
_NEVER_ABSENT = frozenset({407, 408, 425, 429})


class SourceOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Each default is the strict reading. Fields are only ever added."""

    absent_statuses: tuple[int, ...] = ()
    """Statuses that mean "not here" at this source, besides 404 and 410: some stores say 403 for that."""
    checksums: Checksums = "fail"
    """What a checksum published beside a file does when it differs (Maven's checksumPolicy)."""
    merge: str = ""
    """A group of sources of one owner, such as releases and snapshots: what they have is merged."""
    pages_elsewhere: bool = False
    """An index may be answered by another host after a redirect. Files always may."""
    read_ahead: bool = True
    """What a client is likely to ask next is fetched before it asks. Off for a source that is paid by the
    request or by the byte."""

    aged: bool = True
    """A minimum age counts for what it has. Off for a source of one's own, which tells no dates."""


def checked(options: SourceOptions, where: str) -> SourceOptions:
    """The options in canonical form. Raises `ConfigurationError` naming `where`."""
    statuses = tuple(sorted(set(options.absent_statuses)))
    if any(not 400 <= status <= 499 or status in _NEVER_ABSENT for status in statuses):
        raise ConfigurationError(f"{where}: absent takes statuses 400 to 499, but for 407, 408, 425 and 429")
    if options.merge and not _GROUP.fullmatch(options.merge):
        raise ConfigurationError(f"{where}: merge takes a name of 1 to 64 letters, digits, '.', '_' and '-'")
    return msgspec.structs.replace(options, absent_statuses=statuses)


def known_options(values: dict[str, Any]) -> SourceOptions:
    """From a row's JSON; what only a newer version knows is passed over."""
    known = {key: value for key, value in values.items() if key in SourceOptions.__struct_fields__}
    return msgspec.convert(known, SourceOptions)


def parse_fragment(fragment: str, where: str) -> SourceOptions | None:
    """`absent=403,401&checksums=warn&merge=corp&pages=elsewhere&ahead=off&ages=off`; None for none.

    Raises `ConfigurationError` naming `where` and the keys that are known.
    """
    if not fragment:
        return None
    values: dict[str, object] = {}
    try:
        for key, text in parse_qsl(fragment, keep_blank_values=True, strict_parsing=True):
            if key == "absent":
                values["absent_statuses"] = [int(each) for each in text.split(",")]
            elif key == "pages" and text in ("here", "elsewhere"):
                values["pages_elsewhere"] = text == "elsewhere"
            elif key == "ahead" and text in ("on", "off"):
                values["read_ahead"] = text == "on"
            elif key == "ages" and text in ("on", "off"):
                values["aged"] = text == "on"
            elif key in ("checksums", "merge"):
                values[key] = text
            else:
                raise ValueError(key)
        options = msgspec.convert(values, SourceOptions)
    except (ValueError, msgspec.ValidationError):
        raise ConfigurationError(
            f"{where}: after '#' an address takes absent=403, checksums=fail|warn|ignore, merge=NAME, "
            "pages=elsewhere, ahead=off and ages=off, joined by '&'"
        ) from None
    return checked(options, where)
