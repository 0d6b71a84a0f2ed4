"""What a project says beside its requirements, as `ResolutionRequest.project` holds it: the overrides of an
ensure file, or a whole package.json ("manifest"), which the requirements follow from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from shared.protocols.npm.package_json import Declared, dependencies_of
from shared.protocols.npm.resolver.overrides import OverrideSet, canonical, read_overrides
from shared.protocols.npm.resolver.picking import Wanted
from shared.protocols.npm.resolver.specs import Spec, read_spec


def project_of(dependencies: Mapping[str, str], overrides: Mapping[str, Any]) -> str:
    """Canonical JSON; "" where nothing is said. Raises `OverrideFault`."""
    if not overrides:
        return ""
    rules = canonical(read_overrides(overrides, _spelled(dependencies)))
    return msgspec.json.encode({"overrides": rules}).decode()


def project_of_manifest(
    manifest: Mapping[str, Any], members: Mapping[str, Mapping[str, Any]] | None = None
) -> str:
    """The same of a project's own package.json, as `read_package_json` gives it. Raises `OverrideFault`."""
    found = dict(manifest)
    if "overrides" in found:
        roots = _spelled({each.name: each.text for each in dependencies_of(manifest)})
        found["overrides"] = canonical(read_overrides(found["overrides"], roots))
    return msgspec.json.encode({"manifest": found} | ({"members": members} if members else {})).decode()


def _spelled(dependencies: Mapping[str, str]) -> dict[str, str]:
    return {name.strip(): " ".join(text.split()) or "*" for name, text in dependencies.items()}


def read_project(project: str) -> dict[str, Any]:
    """`overrides` or `manifest`, as they are written."""
    found: dict[str, Any] = msgspec.json.decode(project)
    return found


def rules_of(project: str, roots: Mapping[str, str]) -> OverrideSet | None:
    """The rules of a project with these dependencies."""
    if not project:
        return None
    found = read_project(project)
    if "manifest" in found:  # of what the members ask for npm says nothing
        found = found["manifest"]
        roots = _spelled({each.name: each.text for each in dependencies_of(found)})
    overrides = found.get("overrides")
    return read_overrides(overrides, roots) if overrides else None


def wanted_of(project: str) -> tuple[Wanted, ...] | None:
    """What a project's manifest asks for, in npm's order; None of one that has none."""
    found = read_project(project) if project else {}
    if "manifest" not in found:
        return None
    return tuple(map(_wanted, dependencies_of(found["manifest"])))


def members_of(project: str) -> dict[str, Mapping[str, Any]]:
    """Members by their folders below the root, the outer ones first."""
    found = read_project(project) if project else {}
    return dict(sorted(found.get("members", {}).items()))


def linked(members: Mapping[str, Mapping[str, Any]]) -> tuple[Wanted, ...]:
    """What the root asks for of them: each linked under its name."""
    return tuple(
        Wanted(each["name"], "workspace", Spec("member", "", folder, f"file:{folder}"))
        for folder, each in members.items()
    )


def manifest_wanted(manifest: Mapping[str, Any]) -> tuple[Wanted, ...]:
    """What a manifest asks for, in npm's order."""
    return tuple(map(_wanted, dependencies_of(manifest)))


def _wanted(one: Declared) -> Wanted:
    accepted = None if one.accepted is None else read_spec(one.name, one.accepted or "*")
    return Wanted(one.name, one.kind, read_spec(one.name, one.text), accepted)
