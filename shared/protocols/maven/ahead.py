"""What Maven and Gradle ask next: after a POM its parent, the BOMs it imports, the POMs of what it needs.

Each is read alone: a version that a parent or a BOM manages is not known, and no guess. `wanted` is as what a
POM is read ("", "parent" or "import"), then what is excluded below it ("group:artifact"), spaces between.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from shared.errors import UpstreamInvalid
from shared.models import FileName
from shared.protocols.maven import names
from shared.protocols.maven.model import Coordinates, Pom, RawDependency, read_pom
from shared.protocols.maven.resolver.inheritance import document_name
from shared.protocols.maven.xml import BadXml, parse
from shared.protocols.roles.ahead import MOST_NAMES, MOST_WANTED, Ahead, Guess

PARENT, IMPORT = "parent", "import"
MOST_DEEP = 8  # references within references

_TOOL = re.compile(r"(Apache-Maven|Gradle)/[0-9]+")
_REFERENCE = re.compile(r"\$\{([^${}]{1,200})\}")
_FOLLOWED = ("", "compile", "runtime")  # scopes, of what something that is depended on depends on


def properties_of(pom: Pom) -> Mapping[str, str]:
    """What references mean, as far as the POM itself tells."""
    own = {"groupId": pom.group, "artifactId": pom.artifact, "version": pom.version}
    known = {**pom.own.properties}
    for prefix in ("project.", "pom.", ""):
        known |= {f"{prefix}{key}": text for key, text in own.items()}
    if pom.parent is not None:
        known |= {"project.parent.version": pom.parent.version, "project.parent.groupId": pom.parent.group}
    return known


def _text(text: str, known: Mapping[str, str]) -> str:
    for _ in range(MOST_DEEP):
        if "${" not in text or len(text) > MOST_WANTED:
            break
        text = _REFERENCE.sub(lambda found: known.get(found[1], found[0]), text)
    return text


def _guess(at: Coordinates, read_as: str, excluded: Sequence[str]) -> Iterator[Guess]:
    """Nothing for what is no file's address, or may be another file tomorrow."""
    name = document_name(at)
    wanted = " ".join((read_as, *excluded))
    if name is None or at.version.endswith(names.SNAPSHOT) or len(wanted) > MOST_WANTED:
        return
    yield Guess(
        name.project, file=FileName("maven", name.project, name.file_id, name.filename), wanted=wanted
    )


def after_pom(pom: Pom, wanted: str) -> Iterator[Guess]:
    """All that can be told of one POM."""
    read_as, *excluded = wanted.split(" ") if wanted else ("",)
    known = properties_of(pom)

    def at(raw: RawDependency) -> Coordinates:
        return Coordinates(*(_text(each, known) for each in (raw.group, raw.artifact, raw.version)))

    if pom.parent is not None:
        yield from _guess(pom.parent, IMPORT if read_as == IMPORT else PARENT, excluded)
    if pom.relocation is not None:
        yield from _guess(pom.relocation, "", excluded)
    for raw in pom.own.managed:
        if raw.scope == "import" and raw.type == "pom":
            yield from _guess(at(raw), IMPORT, ())
    for raw in pom.own.dependencies if read_as != IMPORT else ():
        place = at(raw)
        if raw.scope not in _FOLLOWED or raw.optional == "true" or _is_excluded(place, excluded):
            continue
        yield from _guess(place, "", sorted({*excluded, *(_text(each, known) for each in raw.exclusions)}))


def _is_excluded(at: Coordinates, excluded: Sequence[str]) -> bool:
    spellings = (f"{at.group}:{at.artifact}", f"{at.group}:*", f"*:{at.artifact}", "*:*")
    return any(each in excluded for each in spellings)


class MavenAhead(Ahead):
    """POMs."""

    def tool(self, user_agent: str) -> str:
        found = _TOOL.match(user_agent)
        return found[1].lower() if found else ""

    def reads_file(self, filename: str) -> bool:
        return filename.endswith(".pom")

    def after_file(self, file: FileName, content: bytes, tool: str, wanted: str) -> Sequence[Guess]:
        try:
            pom = read_pom(parse(content, "project"))
        except BadXml as error:
            raise UpstreamInvalid(str(error)) from error
        found = list(after_pom(pom, wanted))
        return found if len(found) <= MOST_NAMES else []
