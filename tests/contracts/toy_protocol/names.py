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


def version_of(filename: str) -> str:
    """Of "robot-1.0.bin"."""
    return filename.rpartition("-")[2].removesuffix(".bin")


class ToyNames(Names):
    purl_type: ClassVar[str] = "generic"
    osv_ecosystem: ClassVar[str] = "toys"
    attests: ClassVar[bool] = False

    def version_key(self, version: str) -> tuple[int, ...] | None:
        parts = version.split(".")
        return tuple(map(int, parts)) if all(map(str.isdecimal, parts)) else None
