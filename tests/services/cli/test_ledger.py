"""`orchard who-has` and `orchard servings export` against a running Orchard of every protocol."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gates.shops import SHOPS, Offer
from tests.services.cli.conftest import Command
from tests.support.gateway import raw_request
from tests.support.orchard import Cluster, cluster, wait_until
from tests.support.upstream import Upstream

ADMIN = "an-operators-token"
CLIENT = {"user-agent": "mvn/3.9 (x)", "authorization": f"Bearer {ADMIN}", "x-forwarded-for": "192.0.2.7"}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    settings = {"ORCHARD_ADMIN_TOKEN": ADMIN, "ORCHARD_ANONYMOUS_READ": "false"}
    with cluster(tmp_path_factory.mktemp("orchard"), upstream, **settings) as running:
        yield running


@pytest.fixture(scope="module")
def offers(orchard: Cluster, upstream: Upstream) -> dict[str, Offer]:
    """A file of each protocol, which one client has."""
    found = {name: shop(orchard, upstream, f"held-{name}", size_bytes=5000) for name, shop in SHOPS.items()}
    for offer in found.values():
        assert raw_request(orchard.gateway.port, offer.path, headers=CLIENT, timeout=60).status == 200
    wait_until(
        lambda: orchard.metric(orchard.all_of("extractor")[0], "orchard_ledger_stored_total") >= len(found)
    )
    return found


@pytest.fixture
def operator(orchard: Cluster, tmp_path: Path) -> Command:
    return Command(tmp_path, ORCHARD_URL=orchard.url(""), ORCHARD_ADMIN_TOKEN=ADMIN)


def asked(operator: Command, *arguments: str) -> Any:
    done = operator("who-has", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("protocol", SHOPS)
def test_who_has__by_package_url_and_by_digest(
    operator: Command, offers: dict[str, Offer], protocol: str
) -> None:
    offer = offers[protocol]
    found = asked(operator, offer.sha256)["items"]
    assert [
        (each["token"], each["address"], each["tool"], each["result"], each["times"]) for each in found
    ] == [("ORCHARD_ADMIN_TOKEN", "192.0.2.7", "mvn", "served", 1)]
    purl = found[0]["purl"]
    assert asked(operator, purl)["items"] == found
    assert asked(operator, purl.rpartition("@")[0])["items"] == found
    shown = operator("who-has", purl)
    assert "192.0.2.7" in shown.stdout and "mvn 3.9" in shown.stdout and found[0]["filename"] in shown.stdout


def test_who_has__times_and_nothing(operator: Command, offers: dict[str, Offer]) -> None:
    digest = offers["npm"].sha256
    assert len(asked(operator, digest, "--since", "1h")["items"]) == 1
    assert asked(operator, digest, "--until", "2020-01-01")["items"] == []
    nobody = operator("who-has", "pkg:npm/nobody-has-it@1.0.0")
    assert (nobody.returncode, "nobody got pkg:npm/nobody-has-it@1.0.0" in nobody.stdout) == (0, True)


def test_who_has__what_is_no_subject__is_wrong_use(operator: Command, offers: dict[str, Offer]) -> None:
    wrong = operator("who-has", "left-pad")
    assert wrong.returncode == 2 and "expected a package URL" in wrong.stderr


def test_who_has__is_for_operators_and_in_the_audit(
    orchard: Cluster, operator: Command, offers: dict[str, Offer], tmp_path: Path
) -> None:
    token = operator("tokens", "create", "reader").stdout.strip()
    reader = Command(tmp_path, ORCHARD_URL=orchard.url(""), ORCHARD_ADMIN_TOKEN=token)
    for arguments in (("who-has", "pkg:npm/x@1.0.0"), ("servings", "export")):
        assert reader(*arguments).returncode == 4
    asked(operator, "pkg:npm/asked-about@1.0.0")
    audit = json.loads(operator("audit", "--json").stdout)["items"]
    assert next((each["action"], each["subject"]) for each in audit) == (
        "servings.who_has",
        "pkg:npm/asked-about@1.0.0",
    )


@pytest.mark.parametrize("path", ["servings?limit=1", "who-has?of=pkg:npm/dry@1.0.0&limit=1"])
def test_cursor_that_nobody_gave__is_a_question_in_the_audit__and_further_pages_are_the_same_one(
    orchard: Cluster, operator: Command, offers: dict[str, Offer], path: str
) -> None:
    def lines() -> int:
        items = json.loads(operator("audit", "--json").stdout)["items"]
        return sum(each["action"].startswith("servings.") for each in items)

    key: list[Any] = [1] if path.startswith("servings") else [2**61, 1, 1, 1, ""]
    cursor = base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")
    before = lines()
    for _ in range(3):
        url = f"/api/v1/admin/{path}&since=1.5&cursor={cursor}"
        assert raw_request(orchard.gateway.port, url, headers=CLIENT, timeout=60).status == 200
    assert lines() == before + 1


def test_export__as_lines_and_as_cloudevents(operator: Command, offers: dict[str, Offer]) -> None:
    done = operator("servings", "export", "--since", "1h")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {each["protocol"] for each in lines} == set(SHOPS)
    assert len({each["id"] for each in lines}) == len(lines)
    events = [
        json.loads(line)
        for line in operator("servings", "export", "--format", "cloudevents").stdout.splitlines()
    ]
    assert [each["id"] for each in events] == [each["id"] for each in lines]
    first = events[0]
    assert first["specversion"] == "1.0" and first["type"] and first["source"] and first["time"].endswith("Z")
    assert first["data"]["address"] == "192.0.2.7" and first["subject"] == lines[0]["purl"]
    assert operator("servings", "export", "--until", "2020-01-01").stdout == ""


def test_status__tells_what_waits(operator: Command) -> None:
    assert "ledger: " in operator("status").stdout
