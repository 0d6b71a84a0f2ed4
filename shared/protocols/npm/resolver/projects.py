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
    told: dict[str, Any] = {"manifest": dict(manifest)} | ({"members": members} if members else {})
    if "overrides" in manifest:
        rules = canonical(read_overrides(manifest["overrides"], _roots(told)))
        told["manifest"]["overrides"] = rules
    return msgspec.json.encode(told).decode()


def _roots(told: Mapping[str, Any]) -> dict[str, str]:
    """What the root of a project with a manifest asks for, its members too: no rule may say otherwise."""
    found = {each.name: each.text for each in dependencies_of(told["manifest"])}
    members = {each["name"]: f"file:{folder}" for folder, each in told.get("members", {}).items()}
    return _spelled(found | members)


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
    if "manifest" in found:
        roots = _roots(found)
    overrides = found.get("manifest", found).get("overrides")
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
