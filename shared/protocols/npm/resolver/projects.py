"""What a project says beside its dependencies, as `ResolutionRequest.project` holds it: its overrides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from shared.protocols.npm.resolver.overrides import OverrideSet, canonical, read_overrides


def project_of(dependencies: Mapping[str, str], overrides: Mapping[str, Any]) -> str:
    """Canonical JSON; "" where nothing is said. Raises `OverrideFault`."""
    if not overrides:
        return ""
    roots = {name.strip(): " ".join(text.split()) or "*" for name, text in dependencies.items()}
    rules = canonical(read_overrides(overrides, roots))
    return msgspec.json.encode({"overrides": rules}).decode()


def read_project(project: str) -> dict[str, Any]:
    """`overrides`, as they are written."""
    found: dict[str, Any] = msgspec.json.decode(project)
    return found


def rules_of(project: str, roots: Mapping[str, str]) -> OverrideSet | None:
    """The rules of a project with these dependencies."""
    return read_overrides(read_project(project)["overrides"], roots) if project else None
