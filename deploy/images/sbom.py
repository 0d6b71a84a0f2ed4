"""Prints an image's bill of materials as CycloneDX 1.6 (JSON): packages of the environment, the interpreter,
packages of the distribution. Run at the end of its build, by its own Python, with the image's name.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote

ENVIRONMENT = "/opt/venv"
STATUS = Path("/var/lib/dpkg/status")

sys.path.insert(0, "/app")
from shared.version import VERSION  # noqa: E402 - the image's own


def main(name: str) -> None:
    """Write the document to standard output; the same for the same image."""
    components = sorted([*_python(), *_system()], key=lambda each: str(each["bom-ref"]))
    about = {"type": "container", "bom-ref": name, "name": name, "version": VERSION}
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**about, "licenses": [{"expression": "Apache-2.0"}]}},
        "components": components,
    }
    json.dump(document, sys.stdout, indent=1)


def _python() -> Iterator[dict[str, Any]]:
    version = sys.version.split()[0]
    yield {**_component("python", version, f"pkg:generic/python@{version}"), "type": "platform"}
    packages = f"{ENVIRONMENT}/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    for each in distributions(path=[packages]):
        name, licence = each.metadata["Name"], each.metadata["License-Expression"]
        plain = name.lower().replace("_", "-").replace(".", "-")
        found = _component(name, each.version, f"pkg:pypi/{plain}@{quote(each.version)}")
        yield {**found, "licenses": [{"expression": licence}]} if licence else found


def _system() -> Iterator[dict[str, Any]]:
    """Of Debian's kind; a base of another has none."""
    text = STATUS.read_text(errors="replace") if STATUS.exists() else ""
    lines = Path("/etc/os-release").read_text().splitlines()
    vendor = next((line[3:].strip('"') for line in lines if line.startswith("ID=")), "linux")
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and line[0] != " ")
        if fields.get("Status") == "install ok installed":
            name, version = fields["Package"], fields["Version"]
            address = f"pkg:deb/{vendor}/{name}@{quote(version, safe='')}?arch={fields['Architecture']}"
            yield _component(name, version, address)


def _component(name: str, version: str, purl: str) -> dict[str, Any]:
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


if __name__ == "__main__":
    main(sys.argv[1])
