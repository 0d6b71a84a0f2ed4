"""Why no set of files satisfies a request: who wants what, each with the chain that leads to it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from shared.errors import ResolutionConflict
from shared.protocols.pypi.candidates import Chosen
from shared.protocols.pypi.solver import PYTHON, Pick, Provider, Wish
from shared.protocols.resolution import Absent

_MOST_LINES = 20
_MOST_LINKS = 30


def explain(causes: Collection[Any], provider: Provider) -> ResolutionConflict:
    """The error whose message has one line for each wish that cannot stand beside the others."""
    wishes: dict[str, Wish] = {}
    for cause in causes:
        wish: Wish = cause.requirement
        wishes.setdefault(_line(wish, provider), wish)
    projects = sorted({wish.name for wish in wishes.values()})
    lines = sorted(wishes)[:_MOST_LINES]
    if len(wishes) > len(lines):
        lines.append(f"and {len(wishes) - len(lines)} more")
    subject = ", ".join("the Python version" if name == PYTHON else name for name in projects[:5])
    notes = [note for name in projects if (note := _note(name, provider))]
    return ResolutionConflict("\n".join([f"no version satisfies all wishes for {subject}:", *lines, *notes]))


def _line(wish: Wish, provider: Provider) -> str:
    wanted = wish.text if wish.parent is None or wish.text != wish.name else f"{wish.name}{wish.specifier}"
    chain = " -> ".join([*_chain(wish.parent, provider), wanted])
    return f"  request -> {chain}"


def _chain(pick: Pick | None, provider: Provider) -> list[str]:
    """The candidates from the request to this one, along the first wish that led to each."""
    links: list[str] = []
    seen: set[str] = set()
    while pick is not None and pick.identifier not in seen and len(links) < _MOST_LINKS:
        seen.add(pick.identifier)
        extras = f"[{','.join(sorted(pick.extras))}]" if pick.extras else ""
        links.append(f"{pick.name}{extras} {pick.version}" if pick.version else pick.name)
        pick = provider.first_parent(pick)
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
