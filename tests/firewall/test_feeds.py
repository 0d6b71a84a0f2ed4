"""What feeds may not do: a checksum beside one is compared, one that has rightly shrunk counts once an
operator says so, and audits that feeds of malware cannot answer are passed on."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.firewall.feeds import await_feed, osv, span
from tests.firewall.test_exemptions import orchard_command
from tests.support.orchard import Cluster, cluster, wait_until
from tests.support.upstream import Reply, Upstream

AUDIT = "/-/npm/v1/security/advisories/bulk"


class Zip:
    """A feed of one file, with or without a checksum beside it."""

    def __init__(self, path: Path) -> None:
        self.path, self.beside = path, path.with_name(f"{path.name}.sha256")
        self.documents = [malware(number) for number in range(20)]
        self.put(self.documents)

    def put(self, documents: list[dict[str, Any]]) -> None:
        draft = self.path.with_name("draft")
        with zipfile.ZipFile(draft, "w") as packed:
            for each in documents:
                packed.writestr(f"{each['id']}.json", json.dumps(each))
        draft.rename(self.path)

    def tell(self, text: str) -> None:
        draft = self.path.with_name("draft")
        draft.write_text(text)
        draft.rename(self.beside)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


def malware(number: int) -> dict[str, Any]:
    return osv(f"MAL-1-{number}", "npm", f"bad-{number}", ranges=[span()])


@pytest.fixture
def feed(tmp_path: Path) -> Zip:
    (tmp_path / "osv").mkdir()
    return Zip(tmp_path / "osv" / "all.zip")


@pytest.fixture
def orchard(tmp_path: Path, upstream: Upstream, feed: Zip) -> Iterator[Cluster]:
    settings = {"ORCHARD_OSV_FEEDS": str(feed.path), "ORCHARD_ADMIN_TOKEN": "operators-token-of-tests"}
    with cluster(tmp_path / "orchard", upstream, **settings) as running:
        await_feed(running)
        yield running


def told(orchard: Cluster) -> tuple[int, str]:
    """How many advisories count, and what is wrong with what the feed has now."""
    (row,) = orchard_command(orchard, "feeds", "list")["items"]
    return row["advisories"], row["fault"]


@pytest.mark.parametrize("text", ["{sha256:0>64}", "", "\n", "<html>"])
def test_checksum_beside_a_feed__of_other_bytes_or_of_none__it_is_kept_out_until_it_is_right(
    orchard: Cluster, feed: Zip, text: str
) -> None:
    feed.tell(text.format(sha256="7"))
    feed.put([*feed.documents, malware(99)])
    wait_until(lambda: "another checksum" in told(orchard)[1], seconds=60, what="its fault")
    assert told(orchard)[0] == 20
    assert orchard.get("/npm/bad-3").status_code == 403, "what it said last counts"
    feed.tell(f"{feed.sha256}  all.zip\n")
    wait_until(lambda: told(orchard) == (21, ""), seconds=60, what="what it says now")


def test_feed_that_has_shrunk__counts_once_that_is_accepted(orchard: Cluster, feed: Zip) -> None:
    feed.put(feed.documents[:10])
    wait_until(lambda: "shrunk from 20 advisories to 10" in told(orchard)[1], seconds=60, what="its fault")
    assert orchard.get("/npm/bad-15").status_code == 403
    orchard_command(orchard, "feeds", "accept", str(feed.path) + "x", fails=True)
    orchard_command(orchard, "feeds", "accept", str(feed.path))
    wait_until(lambda: told(orchard) == (10, ""), seconds=60, what="what is left of it")
    wait_until(lambda: orchard.get("/npm/bad-15").status_code == 404, what="what it says no more")
    assert orchard.get("/npm/bad-3").status_code == 403
    feed.put(feed.documents[:5])
    wait_until(lambda: "shrunk" in told(orchard)[1], seconds=60, what="the next one's fault")


def test_audit__feeds_tell_of_malware_alone__is_passed_on_and_not_once_they_tell_of_more(
    orchard: Cluster, upstream: Upstream, feed: Zip
) -> None:
    upstream.put(f"/npm{AUDIT}", Reply(b'{"mild":[{"id":1,"url":"upstream"}]}', "application/json"))

    def audit() -> bytes:
        url = orchard.url(f"/npm{AUDIT}")
        return httpx.post(url, json={"mild": ["1.0.0"]}, timeout=30, trust_env=False).content

    assert b"upstream" in audit()
    asked = upstream.count(f"/npm{AUDIT}")
    assert asked
    feed.put([*feed.documents, osv("GHSA-1", "npm", "mild", ranges=[span(fixed="2.0.0")])])
    wait_until(lambda: b"GHSA-1" in audit(), seconds=60, what="its own answer")
    asked = upstream.count(f"/npm{AUDIT}")
    assert b"GHSA-1" in audit()
    assert upstream.count(f"/npm{AUDIT}") == asked
