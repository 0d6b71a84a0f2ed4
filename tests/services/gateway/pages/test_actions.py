"""What operators do from a page has the API's effect and its line in the audit, under their name."""

from __future__ import annotations

import re
from typing import Any

import httpx
import msgspec
import pytest

from shared.queue.jobs import FetchIndex
from shared.queue.keys import DeadLetter, dead_key, encode_job
from tests.services.gateway.pages.conftest import OPERATOR, TOKEN, Town
from tests.support.orchard import wait_until
from tests.support.town import POLICY

pytestmark = pytest.mark.timeout(400)  # a whole Orchard starts first


def _api(town: Town, path: str) -> Any:
    answer = httpx.get(f"{town.open}/api/v1/{path}", headers=OPERATOR, trust_env=False, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


def _do(town: Town, change: str, session: dict[str, str], **fields: str) -> httpx.Response:
    answer = town.post(change, session, town.closed, **fields)
    assert answer.status_code == 303, answer.text
    return answer


def test_upstream__tested_paused_and_resumed(town: Town) -> None:
    session = town.sign_in(TOKEN)
    known = next(each for each in _api(town, "admin/upstreams")["items"] if each["protocol"] == "maven")
    answer = town.post(f"upstreams/{known['id']}/test", session, town.closed, project="org.example:library")
    assert answer.status_code == 200 and "It answered 200 in" in answer.text
    _do(town, f"upstreams/{known['id']}/pause", session)
    assert not _api(town, f"admin/upstreams/{known['id']}")["enabled"]
    assert ">paused<" in town.get("upstreams", {}).text
    _do(town, f"upstreams/{known['id']}/resume", session)
    assert _api(town, f"admin/upstreams/{known['id']}")["enabled"]


def test_package__blocked_and_the_block_lifted__by_the_token_that_signed_in(town: Town) -> None:
    _, token = town.token("alice", "admin")
    bearer = {"authorization": f"Bearer {token}"}
    wait_until(lambda: town.get("", bearer, town.closed).status_code == 200, what="the token")
    session = town.sign_in(token)
    _do(town, "blocks", session, of="pkg:cargo/serde-like", reason="not wanted")
    made = next(each for each in _api(town, "admin/blocks")["items"] if each["name"] == "serde-like")
    assert (made["reason"], made["created_by"]) == ("not wanted", "alice")
    page = town.get("packages/cargo/serde-like", session, town.closed).text
    assert "not wanted" in page and f"blocks/{made['id']}/lift" in page
    _do(town, f"blocks/{made['id']}/lift", session)
    assert "serde-like" not in str(_api(town, "admin/blocks"))
    assert [each["actor"] for each in _api(town, "admin/audit?limit=2")["items"]] == ["alice", "alice"]


def test_exemption__made_and_ended(town: Town) -> None:
    session = town.sign_in(TOKEN)
    for back, to in (("packages/pypi/werkzeug?version=3.1.3", ""), ("https://evil.example.com/", "policy")):
        fields = {"of": "pkg:pypi/werkzeug@3.1.3", "reason": "needed", "expires": "2d", "back": back}
        answer = _do(town, "exemptions", session, **fields)
        assert answer.headers["location"].startswith(f"./{to or back}")
        made = next(each for each in _api(town, "admin/exemptions")["items"] if "werkzeug" in each["what"])
        _do(town, f"exemptions/{made['id']}/end", session)
    _do(town, "exemptions", session, of="pkg:pypi/werkzeug", reason="needed", expires="2d")
    made = next(each for each in _api(town, "admin/exemptions")["items"] if "werkzeug" in each["what"])
    _do(town, f"exemptions/{made['id']}/end", session)
    assert "werkzeug" not in str(_api(town, "admin/exemptions"))


def test_policy_file__tried_changes_nothing__applied_is_in_force(town: Town) -> None:
    session = town.sign_in(TOKEN)
    standing = _api(town, "admin/policy")["items"]
    rule = '[[rule]]\nname = "no clicks"\nprotocols = ["pypi"]\nnames = ["click"]\nrefuse = true\n'
    tried = town.post("policy", session, town.closed, policy=rule, do="try")
    assert tried.status_code == 200 and "Nothing was changed" in tried.text
    assert "1 of 8 versions" in tried.text and "no clicks" in tried.text
    assert _api(town, "admin/policy")["items"] == standing
    wrong = town.post("policy", session, town.closed, policy="[[rule]]\nname = 1\n", do="apply")
    assert wrong.status_code == 200 and 'role="alert"' in wrong.text and "[[rule]]" in wrong.text
    wide = '[[rule]]\nname = "nothing"\nrefuse = true\n'
    assert (
        "would refuse everything" in town.post("policy", session, town.closed, policy=wide, do="apply").text
    )
    warned = rule + 'action = "warn"\n'
    _do(town, "policy", session, policy=warned, do="apply")
    assert [each["name"] for each in _api(town, "admin/policy")["items"]] == ["no clicks"]
    assert _api(town, "admin/rules")["applied_by"] == "ORCHARD_ADMIN_TOKEN"
    _do(town, "policy", session, policy=POLICY % '"restored"', do="apply")
    assert [each["name"] for each in _api(town, "admin/policy")["items"]] == [
        each["name"] for each in standing
    ]


def test_webhook__made_tested_paused_and_removed__its_secret_is_shown_once(town: Town) -> None:
    session = town.sign_in(TOKEN)
    fields = {"name": "pages", "url": f"{town.orchard.upstream.url}/hook", "types": "orchard.block.*"}
    page = town.post("webhooks", session, town.closed, allow_private="yes", **fields)
    secret = re.search(r">(whsec_[^<]+)</pre>", page.text)
    assert secret is not None, page.text
    made = next(each for each in _api(town, "admin/webhooks")["items"] if each["name"] == "pages")
    assert made["types"] == ["orchard.block.*"]
    tested = town.post(f"webhooks/{made['id']}/test", session, town.closed)
    assert "It did not take the test event" in tested.text and secret[1] not in tested.text
    for change, paused in (("pause", "operator"), ("resume", "")):
        _do(town, f"webhooks/{made['id']}/{change}", session)
        found = next(each for each in _api(town, "admin/webhooks")["items"] if each["name"] == "pages")
        assert found["paused"] == paused
    _do(town, f"webhooks/{made['id']}/remove", session)
    assert all(each["name"] != "pages" for each in _api(town, "admin/webhooks")["items"])


def test_pages_of_a_package__asked_for_anew(town: Town) -> None:
    session = town.sign_in(TOKEN)
    answer = _do(town, "packages/npm/refresh", session, name="@example/button")
    assert answer.headers["location"] == "../../packages/npm/@example/button?done=refreshed"
    assert _api(town, "admin/audit?limit=1")["items"][0]["action"] == "cache.invalidate"


def test_job_given_up__tried_again_or_dropped(town: Town) -> None:
    session = town.sign_in(TOKEN)
    for change in ("retry", "drop"):
        job = FetchIndex(protocol="pypi", identity=f"simple/heavy-{change}")
        letter = DeadLetter(job.id, "its worker was killed", 3, 1.0, encode_job(job))
        with town.orchard.client(town.orchard.queue) as queue:
            queue.lpush(dead_key("index"), msgspec.json.encode(letter))
        kept = {each["job_id"]: each["id"] for each in _api(town, "admin/queues/index/dead")["items"]}
        _do(town, f"jobs/index/{kept[job.id]}/{change}", session)
        assert kept[job.id] not in str(_api(town, "admin/queues/index/dead"))


def test_wrong_input__is_told_on_a_page_in_the_apis_words(town: Town) -> None:
    session = town.sign_in(TOKEN)
    for change, fields, said in (
        ("blocks", {"of": "flask", "reason": "x"}, "expected a package URL"),
        ("blocks", {"of": "pkg:pypi/flask", "reason": ""}, "reason: 1 to 500"),
        ("exemptions", {"of": "pkg:pypi/flask", "reason": "x", "expires": "soon"}, "expires: expected"),
        ("upstreams/999999/pause", {}, "there is no upstream 999999"),
        ("jobs/nowhere/x/retry", {}, "queue: expected one of"),
    ):
        answer = town.post(change, session, town.closed, **fields)
        assert answer.status_code in (400, 404), answer.text
        assert said in answer.text and "<h1>" in answer.text


def test_token__made_shown_once_rotated_and_revoked(town: Town) -> None:
    session = town.sign_in(TOKEN)
    fields = {"name": "pages", "scope": "read", "expires": "7d", "protocols": "npm, pypi", "names": "corp-*"}
    page = town.post("tokens", session, town.closed, **fields)
    assert page.status_code == 200 and page.headers["cache-control"] == "no-store"
    made = next(each for each in _api(town, "admin/tokens")["items"] if each["name"] == "pages")
    assert (made["protocols"], made["names"]) == (["npm", "pypi"], ["corp-*"]) and made["expires_at"]
    first = _token_on(page)
    assert first not in town.get("tokens", session, town.closed).text
    rotated = _token_on(town.post(f"tokens/{made['id']}/rotate", session, town.closed))
    assert rotated != first
    _do(town, f"tokens/{made['id']}/revoke", session)
    assert all(each["name"] != "pages" for each in _api(town, "admin/tokens")["items"])


def _token_on(page: httpx.Response) -> str:
    found = re.search(r"<pre[^>]*The new token[^>]*>([^<]+)</pre>", page.text)
    assert found is not None, page.text
    return found[1]


def test_feed_that_shrank__accepted_by_name(town: Town) -> None:
    session = town.sign_in(TOKEN)
    answer = town.post("feeds/accept", session, town.closed, feed="nowhere.zip")
    assert answer.status_code == 404 and "nowhere.zip" in answer.text
