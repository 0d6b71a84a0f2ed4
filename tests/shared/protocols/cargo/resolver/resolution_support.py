"""What tests of Cargo's resolution share: a registry in a table, and its index files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from packageurl import PackageURL

from shared.protocols.cargo.index import read_index_file
from shared.protocols.cargo.resolver.resolve import CargoResolver
from shared.protocols.resolution import Absent, KnownDocuments, NeededDocuments, Resolution, RootFile
from tests.shared.protocols.cargo.resolver.cases import Table

RESOLVER = CargoResolver()


def dependency(text: str | dict[str, Any]) -> dict[str, Any]:
    """One dependency of an index line; short as `name req`, `name req [feature,feature]`, and with the words
    `optional`, `bare` (no default features), `build` or `dev` behind."""
    if isinstance(text, dict):
        return {"features": [], "optional": False, "default_features": True, "kind": "normal", **text}
    name, req, *words = text.split(" ")
    features = [word for word in words if word.startswith("[")]
    return {
        "name": name,
        "req": req,
        "features": [each for word in features for each in word.strip("[]").split(",")],
        "optional": "optional" in words,
        "default_features": "bare" not in words,
        "target": None,
        "kind": next((word for word in words if word in ("build", "dev")), "normal"),
    }


def index_file(name: str, versions: Mapping[str, Mapping[str, Any]]) -> bytes:
    """A crate's index file."""
    lines = []
    for version, about in versions.items():
        entry = {
            "name": name,
            "vers": version,
            "cksum": hashlib.sha256(f"{name} {version}".encode()).hexdigest(),
            "features": {},
            "yanked": False,
            **about,
            "deps": [dependency(each) for each in about.get("deps", ())],
        }
        lines.append(json.dumps(entry) + "\n")
    return "".join(lines).encode()


def files(table: Table) -> dict[str, bytes]:
    """All index files of a table, by project."""
    return {name.lower(): index_file(name, versions) for name, versions in table.items()}


def page(name: str, versions: Mapping[str, Mapping[str, Any]]) -> Any:
    """An index file as resolving reads it."""
    return RESOLVER.prepare_index(read_index_file(name, index_file(name, versions)).body)


def resolve(
    table: Table,
    *requirements: str,
    root: RootFile | None = None,
    known: KnownDocuments | None = None,
    **options: Any,
) -> Resolution:
    """The resolution of requirements out of a table; what the table lacks is unknown to every source."""
    request = RESOLVER.request(requirements=requirements, artifact="f" * 64 if root else "", **options)
    known = known or KnownDocuments()
    pages = {name.lower(): (name, versions) for name, versions in table.items()}
    for _ in range(200):
        outcome = RESOLVER.resolve(request, root, known)
        if isinstance(outcome, Resolution):
            return outcome
        assert isinstance(outcome, NeededDocuments)
        wanted = [each for each in outcome.documents if each not in known.documents]
        assert wanted, "it asks for what it has"
        for document in wanted:
            known.documents[document] = (
                page(*pages[document.project])
                if document.project in pages
                else Absent("no source knows this project")
            )
    raise AssertionError("no end")


def locked(resolution: Resolution) -> list[str]:
    """`name version` of each node, sorted, in the crate's own spelling."""
    return sorted(f"{PackageURL.from_string(node.purl).name} {node.version}" for node in resolution.nodes)
