"""Validation of one file of an upstream's page: what clients ignore is repaired, what they need is checked.

An entry that names no file, no address or no readable digest is dropped; the page stays
(docs/decisions/0023-tolerance.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shared.digests import is_sha256
from shared.protocols.pypi import names
from shared.protocols.reading.links import Dropped, Links

_HEX = re.compile(r"[0-9A-Fa-f]{1,512}")
# The digests of hashlib that have one length, by their hex digits (PEP 503, PEP 691).
_DIGITS = {
    "md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128, "sha3_224": 56,
    "sha3_256": 64, "sha3_384": 96, "sha3_512": 128, "blake2b": 128, "blake2s": 64,
}  # fmt: skip
_IN_FRAGMENT = re.compile(rf"(?:^|[&;])({'|'.join(_DIGITS)})=([^&;]*)", re.IGNORECASE)
UPLOAD_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z"
_UPLOAD_TIME = re.compile(UPLOAD_TIME)
VERSION_CONTROL = re.compile(r"(?:git|hg|svn|bzr)\+[a-z]+:", re.IGNORECASE)


def check_file(file: Any, links: Links, dropped: Dropped) -> bool:
    """Whether an entry can be served. Its URL becomes absolute, its known fields of their types."""
    if not isinstance(file, dict):
        dropped.add("not a file entry", file)
        return False
    _, has_fragment, fragment = str(file.get("url")).partition("#")
    if not check_address(file, links, dropped):
        return False
    hashes = file.get("hashes")
    if has_fragment or not _is_plain(hashes):
        found = read_hashes({**fragment_hashes(fragment), **as_hashes(hashes)}, dropped)
        if found is None:
            return False
        file["hashes"] = found
    _mend(file, dropped)
    return True


def _is_plain(hashes: Any) -> bool:
    """Whether these are hashes as nearly every index has them: SHA256 alone, in lower case."""
    if not isinstance(hashes, dict) or len(hashes) != 1:
        return False
    sha256 = hashes.get("sha256")
    return isinstance(sha256, str) and is_sha256(sha256)


def check_address(file: dict[str, Any], links: Links, dropped: Dropped) -> bool:
    """Whether an entry names a file and where it is; makes its URL absolute."""
    filename, href = file.get("filename"), file.get("url")
    if isinstance(href, str) and VERSION_CONTROL.match(href):
        dropped.add("a link into version control, which only clients can follow", href)
        return False
    if not isinstance(filename, str) or not names.is_distribution_file(filename):
        dropped.add("not a package file's name", filename)
        return False
    url = links.absolute(href) if isinstance(href, str) else None
    if url is None:
        dropped.add("not an http(s) link", href)
        return False
    file["url"] = url
    return True


def fragment_hashes(fragment: str) -> dict[str, str]:
    """The digests in a link's fragment, wherever they stand in it: "egg=demo&sha256=…" (PEP 503)."""
    if "=" not in fragment:
        return {}
    return {found[1].lower(): found[2].strip() for found in _IN_FRAGMENT.finditer(fragment)}


def as_hashes(value: Any) -> Mapping[Any, Any]:
    """Hashes as PEP 691 has them, or in PEP 503's form "sha256=…"; {} for anything else."""
    if isinstance(value, str):
        return fragment_hashes(value)
    return value if isinstance(value, dict) else {}


def read_hashes(given: Mapping[Any, Any], dropped: Dropped) -> dict[str, str] | None:
    """The digests of a file, {} where none is given. None where one is given and none can be read: without it
    the file could be anything, and to overlook this would be to trust it."""
    found = clean_hashes(given)
    if not found and any(value and _algorithm(name) in _DIGITS for name, value in given.items()):
        dropped.add("no readable digest", given)
        return None
    return found


def clean_hashes(hashes: Mapping[Any, Any]) -> dict[str, str]:
    """Hashes in lower-case hex; what is no digest is left out, of known algorithms also by its length."""
    clean = {}
    for algorithm, value in hashes.items():
        if not isinstance(algorithm, str) or not isinstance(value, str):
            continue
        name, digest = _algorithm(algorithm), value.strip()
        if _HEX.fullmatch(digest) and len(digest) == _DIGITS.get(name, len(digest)):
            clean[name] = digest.lower()
    return clean


def _algorithm(name: Any) -> str:
    """The usual name of a known algorithm ("SHA-256" is "sha256"), any other as it is."""
    plain = str(name).strip().lower()
    spellings = (plain.replace("-", ""), plain.replace("-", "_"))
    return next((each for each in spellings if each in _DIGITS), str(name))


def _mend(file: dict[str, Any], dropped: Dropped) -> None:
    """Values that would make some client refuse the whole page are repaired or removed."""
    if "dist-info-metadata" in file:
        # PEP 714: the old key makes pip 22.3 to 23.1 fail in JSON; its value goes under the new one.
        old = file.pop("dist-info-metadata")
        file.setdefault("core-metadata", old)
    for key, mended in _FIELDS.items():
        if key not in file:
            continue
        value = file[key]
        if value is None and key in _NULLABLE:
            continue
        proper = None if value is None else mended(value)
        if proper is None:
            if value is not None:
                dropped.add(f"{key} of a wrong kind", value)
            del file[key]
        else:
            file[key] = proper


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _size(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 1 << 63 else None


def _yanked(value: Any) -> bool | str | None:
    """PEP 691: "truthy" means yanked, whatever it is; a text is the reason."""
    if isinstance(value, str):
        return value or False
    return bool(value) if value or isinstance(value, bool) else None


def _metadata(value: Any) -> dict[str, str] | bool | None:
    """Digests of the core metadata, or that there is some (PEP 714)."""
    if isinstance(value, bool) or _is_plain(value):
        return value  # type: ignore[no-any-return]
    if isinstance(value, str) and value.strip().lower() == "true":
        return True
    if isinstance(value, dict) or (isinstance(value, str) and "=" in value):
        return clean_hashes(as_hashes(value)) or True
    return None


def _upload_time(value: Any) -> str | None:
    """RFC 3339 in UTC (PEP 700). Other spellings of ISO 8601 are turned into it."""
    if not isinstance(value, str):
        return None
    try:
        when = datetime.fromisoformat(value.strip())
        if _UPLOAD_TIME.fullmatch(value):
            return value
        utc = when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return utc.isoformat().replace("+00:00", "Z")


_NULLABLE = ("provenance", "requires-python")  # PEP 740 says so, and every client reads it
_FIELDS = {
    "requires-python": _text,
    "size": _size,
    "upload-time": _upload_time,
    "yanked": _yanked,
    "core-metadata": _metadata,
    "data-dist-info-metadata": _metadata,
    "gpg-sig": _flag,
    "provenance": _text,
}
