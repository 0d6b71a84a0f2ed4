"""What npm, pnpm, yarn and bun ask next: after a packument those of what the version needs that they take.

`wanted` is what a dependency asks for, as package.json spells it: a range, a version or a tag.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shared.policy.project import NOTHING, ProjectVerdicts
from shared.protocols.npm import names
from shared.protocols.npm.document import Document
from shared.protocols.npm.resolver.specs import Spec, read_spec
from shared.protocols.npm.semver import clean_version, parse_version
from shared.protocols.npm.semver_ranges import parse_range
from shared.protocols.reading.json_text import fields_of, value_of
from shared.protocols.roles.ahead import MOST_NAMES, Ahead, Guess

MOST_VERSIONS = 20_000  # of one document that are looked at
LATEST = "latest"

_TOOL = re.compile(r"(npm|pnpm|yarn|bun)/([0-9]+)\.", re.IGNORECASE)
_WITHOUT_PEERS = "yarn"  # it leaves peers to whoever installs the package


def tool(user_agent: str) -> str:
    """The client's name in lower case, "" for what is none that resolves."""
    found = _TOOL.match(user_agent)
    return found[1].lower() if found else ""


def chosen(document: Document, spec: Spec, blocks: ProjectVerdicts) -> str:
    """The version that npm takes (npm-pick-manifest), "" for none: what `latest` names, if it will do, else
    the newest that is not deprecated, else the newest."""
    tags = value_of(document.top.get("dist-tags"))
    if not isinstance(tags, dict):
        tags = {}

    def has(version: Any) -> bool:
        return version in document.versions and names.canonical_version(version) not in blocks.versions

    if spec.kind == "tag":
        version = tags.get(spec.wanted)
        return version if isinstance(version, str) and has(version) else ""
    if spec.kind == "version":
        version = clean_version(spec.wanted)
        return version if has(version) else ""
    span = parse_range(spec.wanted) if spec.kind == "range" else None
    if span is None or len(document.versions) > MOST_VERSIONS:
        return ""
    latest = tags.get(LATEST)
    if isinstance(latest, str) and has(latest) and not document.is_deprecated(latest):
        parsed = parse_version(latest)
        if spec.wanted == "*" or (parsed is not None and span.admits(parsed)):
            return latest
    fitting = [
        (parsed.key, version)
        for version in document.versions
        if (parsed := parse_version(version)) is not None and span.admits(parsed) and has(version)
    ]
    fitting.sort(reverse=True)
    newest_first = [version for _, version in fitting]
    good = (version for version in newest_first if not document.is_deprecated(version))
    return next(good, newest_first[0] if newest_first else "")


def needed(document: Document, version: str, *, peers: bool) -> Iterator[Guess]:
    """The documents of what a version depends on."""
    fields = fields_of(document.versions.get(version))

    def texts(field: str) -> Mapping[str, str]:
        found = value_of(fields.get(field))
        return {k: v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}

    wanted = {**texts("dependencies"), **texts("optionalDependencies")}
    if peers and (asked := texts("peerDependencies")):
        meta = value_of(fields.get("peerDependenciesMeta"))
        optional = {
            name
            for name, each in (meta.items() if isinstance(meta, dict) else ())
            if isinstance(each, dict) and each.get("optional")
        }
        wanted |= {name: text for name, text in asked.items() if name not in optional}
    bundled = value_of(fields.get("bundleDependencies", fields.get("bundledDependencies")))
    if bundled is True:
        bundled = list(texts("dependencies"))
    for name in bundled if isinstance(bundled, list) else ():
        if isinstance(name, str):
            wanted.pop(name, None)
    if len(wanted) > MOST_NAMES:
        return
    for name, text in wanted.items():
        spec = read_spec(name, text)
        if spec.kind in ("range", "version", "tag"):
            yield Guess(spec.package, names.packument_identity(spec.package), wanted=spec.wanted)


class NpmAhead(Ahead):
    """Packuments, one level after the other."""

    tool = staticmethod(tool)

    def after_index(
        self,
        identity: str,
        document: Document,
        tool: str,
        wanted: str,
        blocks: ProjectVerdicts = NOTHING,
    ) -> Sequence[Guess]:
        if document.kind != "packument":
            return []
        version = chosen(document, read_spec(document.name, wanted or LATEST), blocks)
        return list(needed(document, version, peers=tool != _WITHOUT_PEERS)) if version else []
