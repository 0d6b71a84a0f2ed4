"""The effective dependencies of a POM, as a pure step: known POMs → result, or the POMs still needed.

Without an environment: of the profiles only those count that are active by default. A relocated
artifact has the dependencies of the one that stands in for it.
"""

from __future__ import annotations

from collections.abc import Mapping

from shared.protocols.derivation import Derived, DocumentName, Needed
from shared.protocols.maven.effective import MAX_TEXT, Models
from shared.protocols.maven.inheritance import Gap, document_name
from shared.protocols.maven.metadata import dependency
from shared.protocols.maven.model import Pom

MAX_POMS = 400
MAX_RELOCATIONS = 16

Poms = Mapping[DocumentName, Pom | None]
"""What is known: a POM, or None for one that truly is not there or cannot be read."""


def derive(start: DocumentName, poms: Poms) -> Derived | Needed:
    """The effective dependencies of the POM `start`, or of what it is relocated to."""
    missing: set[DocumentName] = set()

    def find(name: DocumentName) -> Pom | Gap:
        found = poms.get(name)
        if found is not None:
            return found
        if name in poms:
            return Gap(f"missing: {name.filename}")
        if len(poms) + len(missing) >= MAX_POMS:
            return Gap(f"size: more than {MAX_POMS} POMs")
        missing.add(name)
        return Gap("", pending=True)

    models = Models(find)
    problems: list[str] = []
    target, at = "", start
    seen = {start}
    while True:
        model = models.effective(at)
        if missing:
            return Needed(tuple(sorted(missing)))
        problems += [model.gap.reason] if model.gap is not None else model.problems
        if model.relocation is None:
            break
        problems.clear()  # what stands here counts no more
        target = str(model.relocation)
        following = document_name(model.relocation)
        if following is None or following in seen or len(seen) > MAX_RELOCATIONS:
            problems.append(f"unresolved: relocation to {target}"[:MAX_TEXT])
            break
        seen.add(following)
        at = following
    for each in model.dependencies:
        if not each.version and each.scope != "system":
            problems.append(f"unresolved: no version of {each.group}:{each.artifact}"[:MAX_TEXT])
    rows = tuple(dependency(*each) for each in enumerate(model.dependencies))
    problems += [f"unresolved: {row.requirement}"[:MAX_TEXT] for row in rows if row.marker]
    return Derived(rows, tuple(dict.fromkeys(problems)), target)
