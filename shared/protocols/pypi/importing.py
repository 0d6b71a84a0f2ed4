"""Wheels and sdists of folders, of devpi's file store and of a bandersnatch mirror, as a simple page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, BinaryIO

import msgspec
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    canonicalize_version,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion

from shared.protocols.pypi import names
from shared.protocols.pypi.metadata import extract, sdist_identity
from shared.protocols.roles.importing import (
    Beside,
    Damaged,
    Imported,
    Importing,
    Listed,
    NotMine,
    Page,
    Told,
)

SDISTS = (".tar.gz", ".zip")
PAGE_TYPE = "application/vnd.pypi.simple.v1+json"  # PEP 691
_HEX = re.compile("[0-9a-f]+")


class PyPIImporting(Importing):
    """Wheels and sdists; nothing in other kinds of distributions says what they are."""

    def may_be(self, parts: Sequence[str]) -> bool:
        return parts[-1].endswith((".whl", *SDISTS))

    def told(self, parts: Sequence[str], beside: Beside) -> tuple[Told, ...]:
        """devpi keeps a file under the first 3 and the next 13 digits of its digest; bandersnatch, as the
        index does, under all 64 of its BLAKE2b, as 2, 2 and 60."""
        folders = list(parts[:-1])
        digits = ["".join(folders[-many:]) for many in (2, 3)]
        lengths = [len(each) for each in folders]
        if folders[-3:-2] == ["+f"] and lengths[-2:] == [3, 13] and _HEX.fullmatch(digits[0]):
            return (Told(("sha256", "md5"), digits[0]),)
        if lengths[-3:] == [2, 2, 60] and _HEX.fullmatch(digits[1]):
            return (Told(("blake2b",), digits[1]),)
        return ()

    def read(self, parts: Sequence[str], file: BinaryIO, size_bytes: int, beside: Beside) -> Listed:
        filename = parts[-1]
        if not names.is_distribution_file(filename):
            raise NotMine("it has no name of a distribution")
        try:
            if filename.endswith(".whl"):
                project, version, _, _ = parse_wheel_filename(filename)
            else:
                name, version = sdist_identity(filename)
                project = canonicalize_name(name)
        except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion):
            raise NotMine("it has no name of a distribution") from None
        found, _ = extract(filename, file, size_bytes)
        if found.state == "unextractable":
            raise Damaged(found.reason)
        if found.state == "unknown" and found.licence is None:  # there is no metadata in it
            raise NotMine(found.reason)
        about = {"requires-python": found.requires_python} if found.requires_python else {}
        return Listed(project, str(version), filename, f"{project}/{filename}", msgspec.json.encode(about))

    def spelt_alike(self, path: str) -> str:
        """By project, version and tags as they are compared (PEP 440, PEP 503): an index takes one file of
        each, and pip any of several."""
        project, _, filename = path.rpartition("/")
        if filename.endswith(".whl"):
            _, version, build, tags = parse_wheel_filename(filename)
            return f"{project}/{canonicalize_version(version)}/{build}/{sorted(map(str, tags))}"
        ending = next(each for each in SDISTS if filename.endswith(each))
        return f"{project}/{canonicalize_version(sdist_identity(filename)[1])}{ending}"

    def project_at(self, path: str) -> str | None:
        name = path.removesuffix("/")
        return name if names.is_normalised(name) else None

    def page(self, path: str, address: str, files: Sequence[Imported]) -> Page | None:
        listed = [_entry(each) for each in sorted(files, key=lambda each: each.listed.filename)]
        page = {"meta": {"api-version": "1.1"}, "name": path.removesuffix("/"), "files": listed}
        return Page(PAGE_TYPE, msgspec.json.encode(page)) if listed else None


def _entry(file: Imported) -> dict[str, Any]:
    about: dict[str, Any] = msgspec.json.decode(file.listed.about or b"{}")
    told = {"size": file.size_bytes, "hashes": {"sha256": file.sha256}}
    return {"filename": file.listed.filename, "url": file.listed.filename, **told, **about}
