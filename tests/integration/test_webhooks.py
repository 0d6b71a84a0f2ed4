"""`orchard webhooks` end to end: added, tested, told by running services, and its secret shown once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.orchard import Cluster, cluster, wait_until
from tests.support.receiver import SECRET, Receiver, check_signature, receiver
from tests.support.stores import ROOT
from tests.support.upstream import Upstream

__all__ = ["receiver"]
ADMIN = "an-operators-token-of-tests"
pytestmark = pytest.mark.timeout(300)  # a whole Orchard starts first


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Upstream() as upstream:
        settings = {"ORCHARD_ADMIN_TOKEN": ADMIN}
        with cluster(tmp_path_factory.mktemp("orchard"), upstream, **settings) as running:
            yield running


def run(orchard: Cluster, *words: str, code: int = 0, **env: str) -> Any:
    """What the command answers, as JSON."""
    base = {name: value for name, value in os.environ.items() if not name.startswith("ORCHARD_")}
    base |= {"ORCHARD_URL": orchard.gateway.base, "ORCHARD_TOKEN": ADMIN, **env}
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", *words, "--json"],
        cwd=ROOT, env=base, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if done.stdout else done.stderr


def test_added_tested_and_told_of_a_block_within_seconds(orchard: Cluster, receiver: Receiver) -> None:
    made = run(
        orchard, "webhooks", "add", "siem", receiver.url, "--type", "orchard.block.*", "--allow-private"
    )
    secret = made["secret"]
    assert run(orchard, "webhooks", "test", "siem")["ok"]
    run(orchard, "blocks", "add", "pypi", "evil", "--reason", "a test")
    wait_until(lambda: len(receiver.got) == 2, seconds=60)
    for headers, body in receiver.got:
        check_signature(headers, body, secret)
    tested, told = (json.loads(body) for _, body in receiver.got)
    assert (tested["type"], told["type"]) == ("orchard.webhook.test", "orchard.block.made")
    assert told["subject"] == "pypi/evil" and told["source"].startswith("/orchard/")

    (listed,) = run(orchard, "webhooks", "list")["items"]
    assert (listed["url"], listed["paused"]) == (receiver.url.partition("?")[0], "")
    audit = json.dumps(run(orchard, "audit"))
    logs = "".join(each.log.read_text() for each in orchard.services)
    for hidden in (secret, secret.removeprefix("whsec_"), "of-the-receiver"):
        assert hidden not in json.dumps(listed) + audit + logs
    assert '"webhook.create"' in audit
    assert run(orchard, "webhooks", "remove", "siem") == {"removed": "siem"}
    assert run(orchard, "webhooks", "list")["items"] == []


def test_a_secret_of_ones_own__paused_and_resumed(orchard: Cluster, receiver: Receiver) -> None:
    arguments = (receiver.url, "--type", "orchard.exemption.made", "--allow-private")
    made = run(orchard, "webhooks", "add", "own", *arguments, "--secret-from", "MINE", MINE=SECRET)
    assert made["secret"] == ""
    assert run(orchard, "webhooks", "pause", "own")["paused"] == "operator"
    run(orchard, "exempt", "add", "pkg:pypi/ours", "--reason", "a test")
    wait_until(lambda: run(orchard, "webhooks", "list")["items"][0]["waiting"] == 1, seconds=60)
    assert receiver.got == []
    assert run(orchard, "webhooks", "resume", "own")["paused"] == ""
    wait_until(lambda: receiver.got != [], seconds=60)
    assert receiver.types() == ["orchard.exemption.made"]
    run(orchard, "webhooks", "remove", "own")


@pytest.mark.parametrize(
    "words, says",
    [
        (("http://u:p@one.example/",), "without user"),
        (("http://one.example/", "--type", "orchard.nothing.*"), "no event is"),
        (("gopher://one.example/",), "http(s)"),
    ],
)
def test_what_cannot_be_is_refused_with_words(orchard: Cluster, words: tuple[str, ...], says: str) -> None:
    assert says in run(orchard, "webhooks", "add", "bad", *words, code=2)


def test_a_secret_that_is_none_is_refused_and_not_repeated(orchard: Cluster) -> None:
    answer = run(orchard, "webhooks", "add", "bad", "http://one.example/", "--secret-from", "MINE", code=2,
                 MINE="whsec_0123456789")  # fmt: skip
    assert "24 to 64" in answer and "0123456789" not in answer


def test_health_says_that_a_webhook_gets_nothing_and_not_which(orchard: Cluster, receiver: Receiver) -> None:
    receiver.status = 410
    run(orchard, "webhooks", "add", "lost", receiver.url, "--type", "orchard.block.*", "--allow-private")
    run(orchard, "blocks", "add", "pypi", "evil-2", "--reason", "a test")

    def problems() -> str:
        return " ".join(orchard.get("/health").json()["problems"])

    wait_until(lambda: "webhooks: 1 get nothing" in problems(), seconds=60)
    assert "lost" not in problems()
    (event,) = run(orchard, "events", "--kind", "webhook_paused")["items"]
    assert event["detail"]["webhook"] == "lost"
    run(orchard, "webhooks", "remove", "lost")
    wait_until(lambda: "webhooks" not in problems(), seconds=60)
