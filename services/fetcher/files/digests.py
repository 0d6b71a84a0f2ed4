"""Hashes of a download, compared with those that the index promised."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from shared.digests import strongest
from shared.errors import DigestMismatch, UpstreamInvalid

_PAGES = (".html", ".htm", ".xhtml")


class Digests:
    """Running hashes over one download: SHA256 always, the strongest one the index names, and those stored
    of every file (`kept`)."""

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

    def verify(self, filename: str) -> str:
        """The SHA256. Raises `DigestMismatch` if the index or the file's own address said otherwise."""
        sha256 = self._running["sha256"].hexdigest()
        if self._expected is not None:
            algorithm, expected = self._expected
            found = self._running[algorithm].hexdigest()
            if found not in expected:
                raise _mismatch(filename, algorithm, found, " or ".join(expected))
        if self._promised and sha256 != self._promised:
            raise _mismatch(filename, "sha256", sha256, self._promised)
        return sha256


def compared(hashes: Mapping[str, str], promised_sha256: str, beside: str) -> dict[str, str]:
    """With what a verified download was compared: who told the digest → its algorithm. `beside`: that of a
    digest published beside the file, "" for none."""
    said = strongest(hashes)
    told = {
        "index": said[0] if said is not None else "",
        "address": "sha256" if promised_sha256 else "",
        "checksum": beside,
    }
    return {name: algorithm for name, algorithm in told.items() if algorithm}


def _mismatch(filename: str, algorithm: str, found: str, promised: str) -> DigestMismatch:
    return DigestMismatch(f"{filename}: the upstream's bytes have the {algorithm} {found}, not {promised}")


def is_web_page(filename: str) -> bool:
    """Whether a file is a web page by its own name."""
    return filename.lower().endswith(_PAGES)


def check_magic(filename: str, magics: tuple[bytes, ...], start: bytes) -> None:
    """For a file without any hash: its first bytes must be those of its kind (`Archive.magics_of`).

    Raises `UpstreamInvalid`: what came is a login page, an error page, something else.
    """
    if magics:
        if not start.startswith(magics):
            kind = filename.rpartition(".")[2]
            raise UpstreamInvalid(f"{filename}: the upstream sent something that is no .{kind} file")
        return
    if is_web_page(filename):
        return
    if start.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        raise UpstreamInvalid(f"{filename}: the upstream sent a web page")
