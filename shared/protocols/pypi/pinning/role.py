"""Which locks are read, and which file of a project's page a pin is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from shared.models import FileName
from shared.protocols.pypi import names
from shared.protocols.pypi.blocking import file_version
from shared.protocols.pypi.document import Document
from shared.protocols.pypi.pinning import files, locks, requirements_txt
from shared.protocols.reading.purls import Purl
from shared.protocols.roles.pins import LockKind, NotFound, Pin, Pins, first_different


class PyPIPins(Pins):
    """A pin is found by its file's name, or, where the lock tells none, by its digest."""

    kinds: ClassVar[Mapping[str, LockKind]] = {
        "uv.lock": LockKind(locks.read_uv, re.compile(r"uv\.lock")),
        "pylock.toml": LockKind(locks.read_pylock, re.compile(r"pylock(?:\.[^.]+)?\.toml")),
        "poetry.lock": LockKind(locks.read_poetry, re.compile(r"poetry\.lock")),
        "pdm.lock": LockKind(locks.read_pdm, re.compile(r"pdm\.lock")),
        "requirements.txt": LockKind(
            requirements_txt.read, re.compile(r"(?:.*[-_.])?requirements(?:[-_.].*)?\.txt")
        ),
    }

    fits = staticmethod(files.fits)

    def find(self, document: Document, pin: Pin) -> FileName:
        version = names.canonical_version(pin.version)
        if pin.filename:
            listed = document.by_name.get(pin.filename, [])
        else:
            listed = [
                file
                for name, each in document.by_name.items()
                if file_version(document.project, name) == version
                for file in each
            ]
        for file in listed:
            told = file["hashes"]
            if any(name in told for name, _ in pin.digests) or pin.filename:
                if first_different(pin.digests, told):
                    continue
                return FileName("pypi", pin.name, document.file_id(file), file["filename"])
        if listed and pin.filename:
            algorithm = first_different(pin.digests, listed[0]["hashes"])
            told = listed[0]["hashes"].get(algorithm, "")
            raise NotFound(f"its index gives it the {algorithm} {told}", differs=True)
        if listed:
            raise NotFound(f"its index has no file of {pin.version} with this hash", differs=True)
        raise NotFound("its index does not list it")

    def of_purl(self, purl: Purl, digests: tuple[tuple[str, str], ...]) -> Pin:
        filename = purl.qualifiers.get("file_name", "")
        if not digests:
            raise ValueError("it tells no hash, and a version has several files")
        if filename and not names.is_distribution_file(filename):
            raise ValueError("its file_name is that of no distribution")
        return Pin(names.normalise(purl.name), purl.version, filename, digests)

    def qualifiers(self, pin: Pin, filename: str) -> dict[str, str]:
        return {"file_name": filename}
