"""Hashes of a download: what the index promised, and whether the bytes keep it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

from shared.errors import DigestMismatch, UpstreamInvalid

# Strongest first. What is not in this list (or unknown to hashlib) proves nothing.
_BY_STRENGTH = (
    "sha512", "sha3_512", "blake2b", "sha384", "sha3_384", "sha256", "sha3_256", "blake2s",
    "sha224", "sha3_224", "sha1", "md5",
)  # fmt: skip

# Programs and scripts: what unpacks itself is such a one with the archive behind it, and Windows' name for
# programs is used for those of other systems too.
_PROGRAMS = (
    b"MZ", b"\x7fELF", b"#!", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe",
    b"\xfe\xed\xfa\xcf", b"\xfe\xed\xfa\xce",
)  # fmt: skip
_PAGES = (".html", ".htm", ".xhtml")
_FIELDS = re.compile(rb"^(?:metadata-version|name)[ \t]*:", re.IGNORECASE | re.MULTILINE)

_MAGIC: dict[str, tuple[bytes, ...]] = {
    ".whl": (b"PK\x03\x04", b"PK\x05\x06", *_PROGRAMS),
    ".zip": (b"PK\x03\x04", b"PK\x05\x06", *_PROGRAMS),
    ".egg": (b"PK\x03\x04", b"PK\x05\x06", *_PROGRAMS),
    ".jar": (b"PK\x03\x04", b"PK\x05\x06", *_PROGRAMS),
    ".gz": (b"\x1f\x8b",),
    ".tgz": (b"\x1f\x8b",),
    ".bz2": (b"BZh",),
    ".xz": (b"\xfd7zXZ\x00",),
    ".exe": (b"PK\x03\x04", *_PROGRAMS),
}


def strongest(hashes: Mapping[str, str]) -> tuple[str, str] | None:
    """The strongest usable hash that an index names: (algorithm, hex); None if there is none. Hex may be
    several, apart by spaces: any of them will do (W3C SRI, 3.3.4)."""
    for algorithm in _BY_STRENGTH:
        if hashes.get(algorithm):
            return algorithm, hashes[algorithm].lower()
    return None


class Digests:
    """Running hashes over one download: SHA256 always, the strongest one the index names, and those
    that are `kept` of every file."""

    def __init__(
        self, hashes: Mapping[str, str], promised_sha256: str = "", kept: Sequence[str] = ()
    ) -> None:
        self._expected = strongest(hashes)
        self._promised = promised_sha256
        self._kept = tuple(kept)
        wanted = {"sha256", *kept, *([self._expected[0]] if self._expected is not None else [])}
        self._running = {name: hashlib.new(name, usedforsecurity=False) for name in sorted(wanted)}

    @property
    def known(self) -> bool:
        """Whether the bytes can be checked against anything."""
        return self._expected is not None or bool(self._promised)

    def update(self, chunk: bytes) -> None:
        for running in self._running.values():
            running.update(chunk)

    def kept(self) -> dict[str, str]:
        """Algorithm → hex of what has come so far."""
        return {name: self._running[name].hexdigest() for name in self._kept}

    def match(self, content: bytes) -> bool:
        """Whether this content, whole, is what was promised."""
        self.update(content)
        try:
            self.verify("")
        except DigestMismatch:
            return False
        return True

    def verify(self, filename: str) -> str:
        """The SHA256. Raises `DigestMismatch` if the index or the file's own address said otherwise."""
        sha256 = self._running["sha256"].hexdigest()
        if self._expected is not None:
            algorithm, expected = self._expected
            if self._running[algorithm].hexdigest() not in expected.split():
                raise DigestMismatch(f"{filename}: the upstream's bytes have another {algorithm}")
        if self._promised and sha256 != self._promised:
            raise DigestMismatch(f"{filename}: the upstream's bytes have another sha256 than promised")
        return sha256


def magics_of(filename: str) -> tuple[bytes, ...]:
    """What files of this kind may begin with; () for a kind that has no such mark."""
    return next((magics for ending, magics in _MAGIC.items() if filename.lower().endswith(ending)), ())


def is_web_page(filename: str) -> bool:
    """Whether a file is a web page by its own name."""
    return filename.lower().endswith(_PAGES)


def check_magic(filename: str, start: bytes) -> None:
    """For a file without any hash: its first bytes must be those of its kind.

    Raises `UpstreamInvalid`: what came is a login page, an error page, something else.
    """
    magics = magics_of(filename)
    if magics:
        if not start.startswith(magics):
            kind = filename.rpartition(".")[2]
            raise UpstreamInvalid(f"{filename}: the upstream sent something that is no .{kind} file")
        return
    if is_web_page(filename):
        return
    if start.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        raise UpstreamInvalid(f"{filename}: the upstream sent a web page")


def check_metadata(filename: str, start: bytes) -> None:
    """For core metadata without any hash: raises `UpstreamInvalid` for what has none of its fields (an
    error message that came with status 200). The wheel has them too."""
    if not _FIELDS.search(start):
        raise UpstreamInvalid(f"{filename}: the upstream sent something that is no core metadata")
