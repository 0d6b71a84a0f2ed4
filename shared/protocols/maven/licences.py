"""The licences of a POM (POM reference, "Licenses"): of several one may be chosen."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element

from shared.protocols.maven.xml import children_of, text_of

LONGEST = 500  # characters
MOST = 20

# Names of which each means one licence: their words, without filling ones and dots.
_CERTAIN = {
    "apache 2": "Apache-2.0",
    "apache 20": "Apache-2.0",
    "apache software 2": "Apache-2.0",
    "apache software 20": "Apache-2.0",
    "asl 20": "Apache-2.0",
    "mit": "MIT",
    "bsd 2 clause": "BSD-2-Clause",
    "bsd 3 clause": "BSD-3-Clause",
    "cddl 10": "CDDL-1.0",
    "cddl 11": "CDDL-1.1",
    "eclipse public 10": "EPL-1.0",
    "eclipse public 20": "EPL-2.0",
    "epl 10": "EPL-1.0",
    "epl 20": "EPL-2.0",
    "eclipse distribution 10": "BSD-3-Clause",
    "edl 10": "BSD-3-Clause",
    "gnu affero general public 3": "AGPL-3.0-only",
    "gnu lesser general public 21": "LGPL-2.1-only",
    "gnu lesser general public 3": "LGPL-3.0-only",
    "gnu general public 3": "GPL-3.0-only",
    "mozilla public 11": "MPL-1.1",
    "mozilla public 20": "MPL-2.0",
    "mpl 20": "MPL-2.0",
}
_FILLING = frozenset({"the", "license", "licence", "version", "v"})
_WORDS = re.compile(r"[a-z]+|[0-9]+")
_APACHE = re.compile(r"https?://(www\.)?apache\.org/licenses/LICENSE-2\.0(\.txt|\.html)?", re.IGNORECASE)


def licence_of(root: Element) -> str | None:
    """An SPDX expression where the names are certain, else as they are written; None where the POM tells
    none, so that its parent's count."""
    found: list[str] = []
    for each in children_of(root, "licenses", "license"):
        name, address = text_of(each, "name"), text_of(each, "url")
        told = "Apache-2.0" if _APACHE.fullmatch(address) else _spdx(name or address)
        if told and told not in found:
            found.append(told)
    return " OR ".join(found[:MOST])[:LONGEST] if found else None


def _spdx(name: str) -> str:
    words = _WORDS.findall(name.lower().replace(".", ""))
    return _CERTAIN.get(" ".join(word for word in words if word not in _FILLING), name)
