"""What the rules ask of a package's versions, out of its packument or the document of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from shared.policy.traits import MOST_TOLD, Traits
from shared.protocols.npm import names
from shared.protocols.npm.document import Document
from shared.protocols.reading.json_text import Fields, fields_of, value_of

INSTALL_SCRIPTS = ("preinstall", "install", "postinstall")
_DEPENDENCIES = ("dependencies", "optionalDependencies", "peerDependencies")


def traits(identity: str, document: Document) -> Iterator[Traits]:
    """See `Documents.traits`."""
    if document.kind not in ("packument", "version"):
        return
    for version, raw in document.versions.items():
        fields = fields_of(raw)
        yield Traits(
            names.canonical_version(version),
            licence=licence_of(fields),
            scripts=runs_scripts(fields),
            dependencies=_dependencies(fields),
            maintainers=maintainers_of(value_of(fields.get("maintainers"))),
            size_bytes=_size(value_of(fields_of(fields.get("dist")).get("unpackedSize"))),
            deprecated=bool(value_of(fields.get("deprecated"))),
        )


def runs_scripts(fields: Fields) -> bool:
    """Whether npm runs something of its own when a version is installed: as its registry says, or its
    scripts do, or by itself for what has a binding.gyp, which registries tell as well."""
    if value_of(fields.get("hasInstallScript")) is True:
        return True
    scripts = value_of(fields.get("scripts"))
    return isinstance(scripts, dict) and any(scripts.get(name) for name in INSTALL_SCRIPTS)


def licence_of(fields: Fields) -> str:
    """npm's `license`; before 2015 an object, or a list `licenses`, of which any may be chosen."""
    told = value_of(fields.get("license"))
    if told is None:
        told = value_of(fields.get("licenses"))
    texts = [_name(each) for each in (told if isinstance(told, list) else [told])]
    return " OR ".join(text for text in texts[:MOST_TOLD] if text)[:500]


def _name(told: Any) -> str:
    if isinstance(told, dict):
        told = told.get("type") or told.get("name")
    return told.strip() if isinstance(told, str) else ""


def _dependencies(fields: Fields) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for kind in _DEPENDENCIES:
        wanted = value_of(fields.get(kind))
        found.update(dict.fromkeys(wanted if isinstance(wanted, dict) else ()))
    return tuple(found)[:MOST_TOLD]


def maintainers_of(told: Any) -> tuple[str, ...]:
    """The names of `maintainers`."""
    people = told if isinstance(told, list) else []
    return tuple(
        name for each in people[:MOST_TOLD] if (name := each if isinstance(each, str) else _name_of(each))
    )


def _name_of(person: Any) -> str:
    return str(person.get("name") or "") if isinstance(person, dict) else ""


def _size(told: Any) -> int:
    return told if isinstance(told, int) and 0 <= told < 2**53 else 0
