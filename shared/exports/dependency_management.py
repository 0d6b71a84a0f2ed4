"""A `dependencyManagement` element that pins what a Maven build resolves (POM reference 4.0.0)."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from packageurl import PackageURL

from shared.ensure_lock import Lock


def dependency_management(lock: Lock) -> bytes:
    """One entry for each artifact, type and classifier of the dependencies; plugins have their own."""
    root = Element("dependencyManagement")
    entries = SubElement(root, "dependencies")
    for package in sorted(lock.protocols["maven"].packages, key=lambda each: (each.name, each.purl)):
        purl = PackageURL.from_string(package.purl)
        group, _, artifact = package.name.partition(":")
        qualifiers = purl.qualifiers if isinstance(purl.qualifiers, dict) else {}
        kind, classifier = qualifiers.get("type", ""), qualifiers.get("classifier", "")
        entry = SubElement(entries, "dependency")
        texts = {
            "groupId": group,
            "artifactId": artifact,
            "version": package.version,
            "type": kind if kind != "jar" else "",
            "classifier": classifier,
        }
        for name, text in texts.items():
            if text:
                SubElement(entry, name).text = text
    indent(root)
    return bytes(tostring(root, encoding="UTF-8", xml_declaration=True)) + b"\n"
