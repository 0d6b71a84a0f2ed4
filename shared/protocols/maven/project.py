"""A project's own pom.xml as what is to be resolved: its model as one text (POM reference 4.0.0).

It has no file in a repository; the parents and BOMs that it names have. What lies beside it, its modules, is
listed and not looked into.
"""

from __future__ import annotations

import msgspec

from shared.errors import InvalidParameter
from shared.protocols.maven.model import MODEL_FORMAT, Pom, read_pom
from shared.protocols.maven.xml import BadXml, children_of, parse

MAX_PROJECT_BYTES = 256 * 1024
MOST_MODULES = 1000
MAX_MODULE = 512  # characters


class Project(msgspec.Struct, frozen=True, omit_defaults=True):
    """What of a pom.xml decides which files its dependencies are."""

    pom: Pom
    modules: tuple[str, ...] = ()  # as written: folders, or files in them


_decoder = msgspec.json.Decoder(Project)


def is_project(text: str) -> bool:
    """Whether a requirement is a POM, as no coordinates begin."""
    return text.lstrip("\ufeff \t\r\n").startswith(("<", "{"))


def canonical_project(text: str) -> str:
    """A POM as JSON in one spelling; of XML, or of what this gives. Raises `InvalidParameter`."""
    return msgspec.json.encode(read_project(text), order="sorted").decode()


def read_project(text: str) -> Project:
    """The project of a requirement. Raises `InvalidParameter`."""
    body = text.lstrip("\ufeff \t\r\n").encode()
    if len(body) > MAX_PROJECT_BYTES:
        raise InvalidParameter(f"requirements: a POM has at most {MAX_PROJECT_BYTES} bytes")
    if body.startswith(b"{"):
        try:
            found = _decoder.decode(body)
        except msgspec.DecodeError as error:
            raise InvalidParameter(f"requirements: this version does not read such a POM: {error}") from None
        if found.pom.format != MODEL_FORMAT:
            raise InvalidParameter("requirements: this version does not read such a POM")
        return found
    try:
        root = parse(body, "project")
        modules = [(each.text or "").strip()[:MAX_MODULE] for each in children_of(root, "modules", "module")]
        return Project(read_pom(root), tuple(dict.fromkeys(modules[:MOST_MODULES])))
    except BadXml as error:
        raise InvalidParameter(f"requirements: {error}") from None
