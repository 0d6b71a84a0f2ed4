"""What a lock is given out as: files that clients take as they are. Pure: a lock in, bytes out."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from shared.ensure_lock import Lock
from shared.exports.cyclonedx import bom
from shared.exports.dependency_management import dependency_management
from shared.exports.npm_files import package_json, package_lock
from shared.exports.requirements_txt import requirements_txt


class Export(msgspec.Struct, frozen=True):
    """One kind of file. `protocol`: the table that it is of, "" for all."""

    protocol: str
    content_type: str
    render: Callable[
        [Lock, str], bytes
    ]  # the base URL of the Orchard that it is served by, no "/" at its end


EXPORTS: dict[str, Export] = {
    "requirements.txt": Export("pypi", "text/plain; charset=utf-8", lambda lock, _: requirements_txt(lock)),
    "package.json": Export("npm", "application/json", lambda lock, _: package_json(lock)),
    "package-lock.json": Export("npm", "application/json", package_lock),
    "dependency-management.xml": Export(
        "maven", "application/xml", lambda lock, _: dependency_management(lock)
    ),
    "bom.cdx.json": Export("", "application/vnd.cyclonedx+json; version=1.6", lambda lock, _: bom(lock)),
}
