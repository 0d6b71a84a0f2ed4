"""Why no set of files satisfies a request: who wants what, each with the chain that leads to it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from shared.errors import ResolutionConflict
from shared.protocols.pypi.resolver.candidates import Chosen
from shared.protocols.pypi.resolver.model import Candidate, Requirement
from shared.protocols.pypi.resolver.solver import PYTHON, Provider
from shared.protocols.resolution import Absent

_MOST_LINES = 20
_MOST_LINKS = 30


def explain(causes: Collection[Any], provider: Provider) -> ResolutionConflict:
    """The error whose message has one line for each requirement that cannot stand beside the others."""
    requirements: dict[str, Requirement] = {}
    for cause in causes:
        requirement: Requirement = cause.requirement
        requirements.setdefault(_line(requirement, provider), requirement)
    projects = sorted({each.name for each in requirements.values()})
    lines = sorted(requirements)[:_MOST_LINES]
    if len(requirements) > len(lines):
        lines.append(f"and {len(requirements) - len(lines)} more")
    subject = ", ".join("the Python version" if name == PYTHON else name for name in projects[:5])
    notes = [note for name in projects if (note := _note(name, provider))]
    first = f"no version satisfies all requirements on {subject}:"
    return ResolutionConflict("\n".join([first, *lines, *notes]))


def _line(requirement: Requirement, provider: Provider) -> str:
    wanted = requirement.text
    if requirement.parent is not None and wanted == requirement.name:
        wanted = f"{requirement.name}{requirement.specifier}"
    chain = " -> ".join([*_chain(requirement.parent, provider), wanted])
    return f"  request -> {chain}"


def _chain(candidate: Candidate | None, provider: Provider) -> list[str]:
    """The candidates from the request to this one, along the first requirement that led to each."""
    links: list[str] = []
    seen: set[str] = set()
    while candidate is not None and candidate.identifier not in seen and len(links) < _MOST_LINKS:
        seen.add(candidate.identifier)
        extras = f"[{','.join(sorted(candidate.extras))}]" if candidate.extras else ""
        links.append(f"{candidate.name}{extras} {candidate.version}" if candidate.version else candidate.name)
        candidate = provider.first_parent(candidate)
    return links[::-1]


def _note(name: str, provider: Provider) -> str:
    if name == PYTHON:
        return f"  the environment's Python is {provider.python}"
    chosen = provider.chosen(name)
    if isinstance(chosen, Absent):
        return f"  {name}: {chosen.reason}"
    if not isinstance(chosen, Chosen):
        return ""
    if not chosen.files:
        undated = f" ({chosen.undated} without an upload time)" if chosen.undated else ""
        return f"  {name}: no file is installable in this environment{undated}"
    versions = list(dict.fromkeys(str(file.version) for file in chosen.files))
    more = f" and {len(versions) - 5} older" if len(versions) > 5 else ""
    return f"  {name}: installable are {', '.join(versions[:5])}{more}"
