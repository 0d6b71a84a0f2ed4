"""Names of toys, and the identity of their indexes."""

from __future__ import annotations

from typing import ClassVar

from shared.protocols.roles.grammar import Names

NAME = r"[a-z][a-z0-9]{0,60}"


def index_identity(project: str) -> str:
    return f"index/{project}"


def project_of(identity: str) -> str:
    return identity.partition("/")[2]


def has_address(identity: str) -> bool:
    """Whether what this names holds the address that the client came by."""
    return identity.startswith("address/")


class ToyNames(Names):
    purl_type: ClassVar[str] = "generic"
