"""Blocked versions taken out of maven-metadata.xml."""

from __future__ import annotations

from collections.abc import Collection
from xml.etree.ElementTree import Element, tostring

from shared.protocols.maven import names
from shared.protocols.maven.versions import version_key
from shared.protocols.maven.xml import BadXml, parse
from shared.protocols.resource import Resource


def version_asked(resource: Resource) -> str:
    """The version in whose folder something lies; "" for the metadata of an artifact or a group."""
    if resource.version:
        return resource.version
    kind, _, path = resource.identity.partition("/")
    folders = path.split("/")
    if kind != "metadata":
        return folders[-2] if len(folders) > 1 else ""
    return folders[-1] if folders[-1].endswith(names.SNAPSHOT) else ""


def without_blocked(identity: str, body: bytes, gone: Collection[str]) -> bytes:
    """The document without these versions, `latest` and `release` being what is left; the same bytes where it
    names none of them."""
    if not identity.startswith("metadata/") or not gone:
        return body
    try:
        root = parse(body, "metadata")
    except BadXml:
        return body  # kept before it was read so strictly: its rendering says what is wrong
    versioning = root.find("versioning")
    listed = versioning.find("versions") if versioning is not None else None
    if versioning is None or not _drop(versioning, listed, gone):
        return body
    return bytes(tostring(root, encoding="UTF-8", xml_declaration=True)) + b"\n"


def _drop(versioning: Element, listed: Element | None, gone: Collection[str]) -> bool:
    """Whether anything was taken out."""
    changed = False
    left: list[str] = []
    for version in list(listed) if listed is not None else []:
        text = (version.text or "").strip()
        if text in gone and listed is not None:
            listed.remove(version)
            changed = True
        else:
            left.append(text)
    for name in ("latest", "release"):
        element = versioning.find(name)
        if element is None or (element.text or "").strip() not in gone:
            continue
        changed = True
        fit = [text for text in left if name == "latest" or not text.endswith(names.SNAPSHOT)]
        if fit:
            element.text = max(fit, key=version_key)
        else:
            versioning.remove(element)
    return changed
