"""Package URLs as they are spelt (purl specification). Which spellings mean the same is for each registry to
say (`Names`): the rules of packageurl-python make one of npm's JSONStream and jsonstream."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

import msgspec
from packageurl import PackageURL

_PLAIN = "generic"  # a type whose names the library leaves alone


class Purl(msgspec.Struct, frozen=True):
    """The parts of a package URL, decoded, in their own case; "" for none."""

    kind: str  # its type
    name: str
    namespace: str = ""
    version: str = ""
    qualifiers: Mapping[str, str] = {}

    def __str__(self) -> str:
        made = PackageURL(
            _PLAIN, self.namespace or None, self.name, self.version or None, {**self.qualifiers} or None
        )
        return f"pkg:{self.kind}{made.to_string().removeprefix(f'pkg:{_PLAIN}')}"


def read_purl(text: str) -> Purl:
    """Raises `ValueError` for what is none."""
    found = PackageURL.from_string(text, normalize_purl=False)
    named = [unquote(part or "") for part in (found.name, found.namespace, found.version)]
    told = found.qualifiers if isinstance(found.qualifiers, dict) else {}
    return Purl(found.type, named[0], named[1], named[2], told)
