"""Which locks are read, and which tarball of a packument a pin is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from shared.models import FileName
from shared.protocols.npm import names
from shared.protocols.npm.dist import hashes_of
from shared.protocols.npm.document import Document
from shared.protocols.npm.pinning import found, package_lock, pnpm_lock, yarn_lock
from shared.protocols.reading.purls import Purl
from shared.protocols.roles.pins import LockKind, NotFound, Pin, Pins, first_different


class NpmPins(Pins):
    """A version has one tarball."""

    kinds: ClassVar[Mapping[str, LockKind]] = {
        "package-lock.json": LockKind(
            package_lock.read, re.compile(r"(?:package-lock|npm-shrinkwrap|\.package-lock)\.json")
        ),
        "pnpm-lock.yaml": LockKind(pnpm_lock.read, re.compile(r"pnpm-lock\.yaml")),
        "yarn.lock": LockKind(yarn_lock.read, re.compile(r"yarn\.lock")),
    }

    fits = staticmethod(found.fits)

    def find(self, document: Document, pin: Pin) -> FileName:
        if pin.version not in document.versions:
            raise NotFound("its index does not list this version")
        told = hashes_of(document.dist(pin.version))
        algorithm = first_different(pin.digests, told)
        if algorithm:
            raise NotFound(f"its index gives it the {algorithm} {told[algorithm]}", differs=True)
        return FileName("npm", pin.name, names.ONE_FILE_ID, document.filename(pin.version))

    def of_purl(self, purl: Purl, digests: tuple[tuple[str, str], ...]) -> Pin:
        return Pin(
            f"{purl.namespace}/{purl.name}" if purl.namespace else purl.name, purl.version, "", digests
        )
