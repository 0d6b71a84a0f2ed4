"""Names of crates: what is one, its one spelling as a project, and where its index file lies."""

from __future__ import annotations

import itertools
import re
from typing import ClassVar

from shared.protocols.cargo.popular import POPULAR
from shared.protocols.cargo.semver import parse_version
from shared.protocols.roles.grammar import Names

CONFIG = "config.json"
"""The identity of what an index says of itself; `index_identity` gives those of crates."""

MAX_CHARACTERS = 64
MOST_SIGNS = 5  # `-` and `_` of a name whose spellings are counted up: there are 32

_NAME = re.compile(rf"[A-Za-z_][A-Za-z0-9_-]{{0,{MAX_CHARACTERS - 1}}}")


def is_name(text: str) -> bool:
    """Whether a crate may be called so (The Cargo Book, "The `name` field", in ASCII)."""
    return _NAME.fullmatch(text) is not None


def canonical(name: str) -> str:
    """The project of a crate: index paths are in lower case. `-` and `_` are different files."""
    return name.lower()


def index_path(name: str) -> str:
    """Where the index file lies below an index's root (Registry Index, "Index Files")."""
    project = canonical(name)
    return f"{prefix(project)}/{project}"


def prefix(name: str) -> str:
    """The folders before an index file, in the name's own spelling."""
    if len(name) <= 2:
        return str(len(name))
    return f"3/{name[0]}" if len(name) == 3 else f"{name[:2]}/{name[2:4]}"


def filename(name: str, version: str) -> str:
    """The name of one version's file here: as cargo calls it, but the crate in lower case, so that every
    spelling means one file. Its `file_id` is the version."""
    return f"{canonical(name)}-{version}.crate"


def index_identity(project: str) -> str:
    """The identity of a crate's index file."""
    return f"index/{project}"


def project_of(identity: str) -> str:
    """The crate that an index file is of."""
    return identity.partition("/")[2]


def canonical_version(version: str) -> str:
    """The spelling under which a version is blocked: without build metadata, as requirements see it."""
    return version.partition("+")[0]


def meant_patterns(pattern: str) -> tuple[str, ...]:
    """In lower case, and both `-` and `_` for either: cargo asks for a name that it does not find in all
    these spellings, and a name that is one source's own must not reach another so."""
    parts = re.split(r"(\[[^]]*\])", pattern.lower())
    return ("".join(part if part.startswith("[") else re.sub("[-_]", "[_-]", part) for part in parts),)


class CargoNames(Names):
    """Crates by their names in lower case."""

    osv_ecosystem: ClassVar[str] = "crates-io"
    attests: ClassVar[bool] = False
    purl_type: ClassVar[str] = "cargo"
    popular: ClassVar[frozenset[str]] = POPULAR

    canonical_name = staticmethod(canonical)
    is_project_name = staticmethod(is_name)
    canonical_version = staticmethod(canonical_version)

    def named_alike(self, name: str) -> str:
        return name.replace("_", "-")

    def spellings(self, name: str) -> tuple[str, ...]:
        parts = re.split("[-_]", name)
        if len(parts) > MOST_SIGNS + 1:
            return ()
        return tuple(
            "".join(map("".join, zip(parts, (*signs, ""), strict=True)))
            for signs in itertools.product("-_", repeat=len(parts) - 1)
        )

    def is_version(self, text: str) -> bool:
        return parse_version(text) is not None

    def version_key(self, version: str) -> tuple[object, ...] | None:
        found = parse_version(version)
        return None if found is None else found.precedence

    def spelt_version(self, project: str, name: str) -> str:
        """With the build metadata, which its file has too."""
        return name.removeprefix(f"{project}-").removesuffix(".crate") if name.endswith(".crate") else name

    meant_patterns = staticmethod(meant_patterns)
