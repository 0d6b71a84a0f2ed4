"""Identities of PyPI's resources and the ids of its files: made here and taken apart here only."""

from __future__ import annotations

import hashlib
import re

ROOT = "simple/"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_STABLE = re.compile(r"id-[0-9a-f]{40}")


def simple_identity(project: str) -> str:
    """The identity of a project's simple page; of the list of projects for ""."""
    return f"simple/{project}"


def json_identity(project: str, version: str = "") -> str:
    """The identity of a legacy JSON document, of one version or of the newest."""
    return f"json/{project}/{version}" if version else f"json/{project}"


def split_identity(identity: str) -> tuple[str, str, str]:
    """Kind ("simple" or "json"), project and version of an index identity."""
    kind, _, rest = identity.partition("/")
    project, _, version = rest.partition("/")
    return kind, project, version


def is_sha256(text: str) -> bool:
    """Whether this is a SHA256 digest in lower-case hex."""
    return _SHA256.fullmatch(text) is not None


def is_stable_id(text: str) -> bool:
    """Whether this has the form of an id that stands in for an unknown digest."""
    return _STABLE.fullmatch(text) is not None


def stable_id(source_name: str, project: str, filename: str) -> str:
    """The id of a file whose SHA256 the upstream does not tell (docs/decisions/0003).

    Depends on nothing that changes: the source by its name, the normalised project, the file.
    """
    digest = hashlib.sha256("\0".join((source_name, project, filename)).encode()).hexdigest()
    return f"id-{digest[:40]}"
