"""The licence in core metadata: `License-Expression` (PEP 639), else classifiers, else a short `License`."""

from __future__ import annotations

from packaging.metadata import RawMetadata

LONGEST = 500  # characters
LONGEST_FIELD = 100  # of `License`: longer ones are the licence's text
_PREFIX = "License :: "
_GROUP = "OSI Approved :: "

# Classifiers that mean exactly one licence. Others (as "BSD License") are ambiguous by PEP 639: they stay as
# they are, which is no SPDX expression.
_CERTAIN = {
    "Blue Oak Model License (BlueOak-1.0.0)": "BlueOak-1.0.0",
    "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
    "Eclipse Public License 1.0 (EPL-1.0)": "EPL-1.0",
    "Eclipse Public License 2.0 (EPL-2.0)": "EPL-2.0",
    "European Union Public Licence 1.0 (EUPL 1.0)": "EUPL-1.0",
    "European Union Public Licence 1.1 (EUPL 1.1)": "EUPL-1.1",
    "European Union Public Licence 1.2 (EUPL 1.2)": "EUPL-1.2",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v2 (LGPLv2)": "LGPL-2.0-only",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 1.0 (MPL)": "MPL-1.0",
    "Mozilla Public License 1.1 (MPL 1.1)": "MPL-1.1",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "Universal Permissive License (UPL)": "UPL-1.0",
    "Zero-Clause BSD (0BSD)": "0BSD",
}


def licence_of(raw: RawMetadata) -> str:
    """As it is told; "" for none. Of several classifiers all count: nobody says that one may be chosen."""
    expression = raw.get("license_expression", "").strip()
    if expression:
        return expression[:LONGEST]
    told = [each.removeprefix(_PREFIX) for each in raw.get("classifiers", []) if each.startswith(_PREFIX)]
    names = [each.removeprefix(_GROUP) for each in told if each != "OSI Approved"]
    found = [_CERTAIN.get(each, each) for each in dict.fromkeys(names)]
    if found:
        return " AND ".join(found)[:LONGEST]
    text = raw.get("license", "").strip()
    return text if len(text) <= LONGEST_FIELD and "\n" not in text else ""
