"""A feed of advisories that a test writes: a folder of OSV documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

from tests.firewall.shelves import Shelf
from tests.support.orchard import Cluster, wait_until

ECOSYSTEMS = {"pypi": "PyPI", "npm": "npm", "maven": "Maven", "cargo": "Crates-IO"}


def osv(advisory: str, ecosystem: str, name: str, **said: Any) -> dict[str, Any]:
    """A document of the OSV schema. `said`: `versions`, `ranges` of what is affected; all else as it is."""
    affected = {"package": {"ecosystem": ecosystem, "name": name}}
    for key in ("versions", "ranges"):
        if key in said:
            affected[key] = said.pop(key)
    return {"schema_version": "1.7.0", "id": advisory, "affected": [affected], **said}


def span(start: str = "0", *, fixed: str = "", last: str = "", kind: str = "ECOSYSTEM") -> dict[str, Any]:
    """A range."""
    events: list[dict[str, str]] = [{"introduced": start}]
    if fixed:
        events.append({"fixed": fixed})
    if last:
        events.append({"last_affected": last})
    return {"type": kind, "events": events}


class Folder:
    """A feed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        # So many that the feed does not shrink by much when one is dropped.
        self.put(*(osv(f"MAL-0000-{n}", "npm", f"always-here-{n}", ranges=[span()]) for n in range(20)))

    def put(self, *documents: dict[str, Any]) -> None:
        for each in documents:
            draft = self.path / f"{each['id']}.draft"
            draft.write_text(json.dumps(each))
            draft.rename(self.path / f"{each['id']}.json")

    def drop(self, advisory: str) -> None:
        (self.path / f"{advisory}.json").unlink()


def await_feed(orchard: Cluster) -> None:
    """Return once every gateway knows advisories: nothing is served before."""
    for gateway in orchard.all_of("gateway"):
        address = f"{gateway.base}/pypi/simple/nothing/"
        wait_until(
            lambda address=address: httpx.get(address, timeout=30, trust_env=False).status_code == 404,
            seconds=60,
            what="the first advisories",
        )


def of_shelf(advisory: str, it: Shelf, **said: Any) -> dict[str, Any]:
    """As `osv`, about a shelf's package."""
    name = f"org.example:{it.name}" if it.protocol == "maven" else it.name
    return osv(advisory, ECOSYSTEMS[it.protocol], name, **said)


def purl_of(it: Shelf) -> str:
    """The package URL of a shelf's package."""
    name = f"org.example/{it.name}" if it.protocol == "maven" else it.name.replace("@", "%40")
    return f"pkg:{it.protocol}/{name}"
