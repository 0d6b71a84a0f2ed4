"""What follows from an artifact's metadata together with other documents: the pure step's values.

A protocol whose files declare only a part of their dependencies (a POM has parents and imported BOMs)
derives the rest in steps: known documents → result, or the documents that are still needed.
"""

from __future__ import annotations

import msgspec

from shared.models import Dependency


class DocumentName(msgspec.Struct, frozen=True, order=True):
    """A file of the same protocol, as `PackageProxyBase.artifact_resource` takes it."""

    project: str
    file_id: str
    filename: str


class Needed(msgspec.Struct, frozen=True):
    """The result waits for these."""

    documents: tuple[DocumentName, ...]


class Derived(msgspec.Struct, frozen=True, omit_defaults=True):
    """The effective dependencies. `problems` says what could not be settled; () is complete."""

    dependencies: tuple[Dependency, ...] = ()
    problems: tuple[str, ...] = ()
    relocated_to: str = ""  # "group:artifact:version" that stands in for this one
