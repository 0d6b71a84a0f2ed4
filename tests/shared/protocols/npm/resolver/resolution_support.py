"""What tests of npm resolution share: a registry in a table, and resolutions out of it."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

from shared.models import UpstreamSource
from shared.protocols.npm.names import version_of
from shared.protocols.npm.resolver.projects import project_of
from shared.protocols.npm.resolver.resolve import NpmResolver
from shared.protocols.npm.semver import parse_version
from shared.protocols.npm.shrinkwrap import inner_lock
from shared.protocols.resolution import (
    Absent,
    Document,
    KnownDocuments,
    NeededDocuments,
    Resolution,
    RootFile,
)
from tests.shared.protocols.npm.support import NPM
from tests.support.npm_builders import build_tarball, integrity

Table = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Package → version → what its package.json says beside the two. The key "npm-shrinkwrap" is the lock that
its tarball brings: JSON, or bytes."""

RESOLVER = NpmResolver()
SOURCE = UpstreamSource(id=1, protocol="npm", name="main", url="https://registry.example.com/")
ENVIRONMENT = "node20.20.2-linux-x64-glibc"


def packument(name: str, versions: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A package as a registry tells of it. A version's key `published` becomes its time; the newest
    release is `latest`, unless the package's entry "tags" says more."""
    found = {}
    times = {}
    for version, manifest in versions.items():
        if version == "tags":
            continue
        about = dict(manifest)
        times[version] = about.pop("published", "2020-01-01T00:00:00.000Z")
        inner = about.pop("npm-shrinkwrap", None)
        told = f"sha512-{name}-{version}"
        if inner is not None:
            about["_hasShrinkwrap"] = True
            told = integrity(tarball(name, version, inner))
        base = f"https://registry.example.com/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"
        found[version] = {
            "name": name,
            "version": version,
            "dist": {"tarball": base, "integrity": told},
            **about,
        }
    keys = {version: parsed.key for version in found if (parsed := parse_version(version)) is not None}
    newest = max(keys, key=lambda version: ("-" not in version, keys[version]))
    tags = {"latest": newest, **versions.get("tags", {})}
    return {"name": name, "dist-tags": tags, "versions": found, "time": times}


def tarball(name: str, version: str, inner: Any) -> bytes:
    """A package that brings a lock."""
    content = inner if isinstance(inner, bytes) else json.dumps(inner).encode()
    return build_tarball(name, version, more={"npm-shrinkwrap.json": content})


def page(name: str, versions: Mapping[str, Mapping[str, Any]]) -> Any:
    """The same as resolving reads it."""
    body = json.dumps(packument(name, versions)).encode()
    url = f"https://registry.example.com/{name}"
    document = NPM.documents.read_index(
        f"packument/{name}", SOURCE, url=url, content_type="application/json", body=body
    )
    return RESOLVER.prepare_index(document.body)


def resolve(
    table: Table,
    *requirements: str,
    root: RootFile | None = None,
    known: KnownDocuments | None = None,
    overrides: Mapping[str, Any] | None = None,
    **options: Any,
) -> Resolution:
    """The resolution of requirements out of a table; what the table lacks is unknown to every source."""
    options.setdefault("environment", ENVIRONMENT)
    if overrides:
        options["project"] = project_of(dict(map(_split, requirements)), overrides)
    request = RESOLVER.request(requirements=requirements, artifact="f" * 64 if root else "", **options)
    known = known or KnownDocuments()
    for _ in range(200):
        outcome = RESOLVER.resolve(request, root, known)
        if isinstance(outcome, Resolution):
            return outcome
        assert isinstance(outcome, NeededDocuments)
        wanted = [each for each in outcome.documents if each not in known.documents]
        assert wanted, "it asks for what it has"
        for document in wanted:
            if document.kind == "inner":
                known.documents[document] = _inner(document, table)
                continue
            there = document.kind == "index" and document.project in table
            known.documents[document] = (
                page(document.project, table[document.project])
                if there
                else Absent("no source knows this project")
            )
    raise AssertionError("no end")


def _inner(document: Document, table: Table) -> Any:
    version = version_of(document.project, document.filename)
    file = tarball(document.project, version, table[document.project][version]["npm-shrinkwrap"])
    extraction, raw = inner_lock(document.filename, io.BytesIO(file), len(file))
    return Absent(extraction.reason) if raw is None else RESOLVER.prepare_inner(raw)


def _split(text: str) -> tuple[str, str]:
    name, _, wanted = text[1:].partition("@")
    return text[:1] + name, wanted


def tree(resolution: Resolution) -> dict[str, str]:
    """Folder, without its node_modules, → name@version."""
    return {
        place.replace("node_modules/", ""): f"{node.name}@{node.version}"
        for node in resolution.nodes
        for place in node.locations
    }
