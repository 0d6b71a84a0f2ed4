"""Operators see the jobs that were given up, try them again, drop them: by the API and the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from shared.queue import keys
from shared.queue.jobs import FetchIndex
from shared.queue.keys import DeadLetter
from tests.services.cli.conftest import Command
from tests.support.builders import build_wheel
from tests.support.orchard import Cluster, problem, wait_until
from tests.support.upstream import Upstream

TOKEN = "an-operators-token"


@pytest.fixture(scope="module")
def orchard_settings() -> dict[str, str]:
    return {"ORCHARD_ADMIN_TOKEN": TOKEN, "ORCHARD_ANONYMOUS_READ": "true"}


def admin(orchard: Cluster, method: str, path: str, *, token: str = TOKEN) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.request(
        method, orchard.url(f"/api/v1/admin/{path}"), headers=headers, timeout=30, trust_env=False
    )


def bury(orchard: Cluster, name: str, *, kept: bool = True) -> None:
    job = FetchIndex(protocol="pypi", identity=f"simple/{name}")
    letter = DeadLetter(job.id, "its workers died", 4, 1.0, keys.encode_job(job) if kept else b"")
    with orchard.client(orchard.queue) as client:
        client.lpush(keys.dead_key("index"), msgspec.json.encode(letter))


def listed(orchard: Cluster) -> list[dict[str, Any]]:
    return list(admin(orchard, "GET", "queues/index/dead").json()["items"])


def test_dead_jobs__listed_shown_tried_again_and_dropped__audited(
    orchard: Cluster, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.add_project("again", {"again-1.0-py3-none-any.whl": build_wheel("again", "1.0")})
    for name in ("dropped", "again"):
        bury(orchard, name)
    again, dropped = listed(orchard)
    assert again["job"]["identity"] == "simple/again" and again["reason"] == "its workers died"
    assert admin(orchard, "GET", f"queues/index/dead/{again['id']}").json() == again
    first = admin(orchard, "GET", "queues/index/dead?limit=1").json()
    rest = admin(orchard, "GET", f"queues/index/dead?limit=1&cursor={first['next']}").json()
    assert [first["items"], rest["items"]] == [[again], [dropped]] and not rest.get("next")

    operator = Command(tmp_path, ORCHARD_URL=orchard.url(""), ORCHARD_ADMIN_TOKEN=TOKEN)
    shown = operator("queue", "dead")
    assert shown.returncode == 0 and again["id"] in shown.stdout and "its workers died" in shown.stdout
    assert json.loads(operator("queue", "dead", "index", "--json").stdout)["items"] == [again, dropped]
    assert operator("queue", "dead", "--retry", again["id"]).returncode == 0
    wait_until(lambda: upstream.count("/simple/again/") == 1, what="the job's second life")
    assert operator("queue", "dead", "--drop", dropped["id"]).returncode == 0
    assert listed(orchard) == []
    assert operator("queue", "dead", "--drop", dropped["id"]).returncode == 1
    for name in ("nonsense", "", " "):
        assert operator("queue", "dead", "--drop", name).returncode == 2, name
        assert operator("queue", "dead", "--retry", name).returncode == 2, name
    audit = admin(orchard, "GET", "audit").json()["items"]
    assert [(each["action"], each["subject"]) for each in audit[:2]] == [
        ("queue.drop", f"index/{dropped['job_id']}"),
        ("queue.retry", f"index/{again['job_id']}"),
    ]


def test_dead_jobs__what_cannot_be_is_said(orchard: Cluster) -> None:
    assert admin(orchard, "GET", "queues/index/dead", token="").status_code == 401
    assert admin(orchard, "GET", "queues/nothing/dead").status_code == 400
    missing = admin(orchard, "POST", "queues/index/dead/index-0123456789abcdef/retry")
    assert (missing.status_code, problem(missing)["code"]) == (404, "entry_not_found")
    bury(orchard, "old", kept=False)
    (old,) = listed(orchard)
    refused = admin(orchard, "POST", f"queues/index/dead/{old['id']}/retry")
    assert (refused.status_code, problem(refused)["code"]) == (409, "conflict")
    assert admin(orchard, "DELETE", f"queues/index/dead/{old['id']}").status_code == 200
