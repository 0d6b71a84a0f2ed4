"""A provider that lies to who signs in: refused on a page that says by what, and no session begins."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.support.issuer import FOREIGN, RSA, Issuer, signed
from tests.support.orchard import Cluster, cluster, free_port
from tests.support.upstream import Upstream

pytestmark = pytest.mark.timeout(300)  # a whole Orchard starts first

CLIENT = "orchard-of-tests"
BROWSER = {"accept": "text/html"}
CONFIGURATION = "/.well-known/openid-configuration"


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Iterator[Cluster]:
    port = free_port()
    settings = {
        "ORCHARD_ADMIN_TOKEN": "operators-token-of-tests",
        "ORCHARD_ANONYMOUS_READ": "false",
        "ORCHARD_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "ORCHARD_OIDC_ISSUER": issuer.url,
        "ORCHARD_OIDC_CLIENT_ID": CLIENT,
        "ORCHARD_OIDC_CLIENT_SECRET": "quite secret / client:s",
        "ORCHARD_OIDC_SCOPES": "groups",
        "ORCHARD_OIDC_READ": "groups=readers",
        "ORCHARD_WRONG_TOKENS": "0",
    }
    with (
        Upstream() as upstream,
        cluster(
            tmp_path_factory.mktemp("orchard"), upstream, gateways=0, extractors=0, **settings
        ) as running,
    ):
        running.start("gateway", port=port)
        yield running


@pytest.fixture
def browser(orchard: Cluster, issuer: Issuer) -> Iterator[httpx.Client]:
    issuer.answers.clear()
    issuer.posted.clear()
    with httpx.Client(base_url=orchard.gateway.base, headers=BROWSER, trust_env=False, timeout=60) as client:
        yield client


def begin(browser: httpx.Client) -> httpx.URL:
    begun = browser.get("/ui/signin-elsewhere")
    assert begun.status_code == 303, begun.text
    return httpx.URL(begun.headers["location"])


def person(issuer: Issuer, nonce: str, **more: Any) -> dict[str, Any]:
    claims = issuer.claims(aud=CLIENT, nonce=nonce, sub="alice", groups=["x", "readers"], **more)
    return {name: value for name, value in claims.items() if value is not None}


def give(issuer: Issuer, token: str) -> None:
    issuer.answers["/token"] = (200, {}, json.dumps({"id_token": token, "access_token": "unused"}).encode())


def back(browser: httpx.Client, asked: httpx.URL, code: str = "the-code") -> httpx.Response:
    return browser.get("/ui/signed-in", params={"code": code, "state": asked.params["state"]})


def test_person__is_asked_about_with_pkce_state_and_nonce_and_the_secret_stays_with_the_fetcher(
    browser: httpx.Client, issuer: Issuer, orchard: Cluster
) -> None:
    asked = begin(browser)
    assert str(asked).startswith(f"{issuer.url}/authorize?")
    fields = dict(asked.params)
    assert fields["redirect_uri"] == f"{orchard.gateway.base}/ui/signed-in"
    assert (fields["response_type"], fields["client_id"]) == ("code", CLIENT)
    assert fields["scope"] == "openid profile email groups" and fields["code_challenge_method"] == "S256"
    assert min(len(fields[each]) for each in ("state", "nonce", "code_challenge")) >= 43
    give(issuer, signed(person(issuer, fields["nonce"])))
    done = back(browser, asked)
    assert done.status_code == 200 and "oidc/alice" in done.text, done.text
    form, headers = issuer.posted[0]
    assert form["grant_type"] == "authorization_code" and form["code"] == "the-code"
    assert len(form["code_verifier"]) >= 43 and form["redirect_uri"] == fields["redirect_uri"]
    assert "client_secret" not in form
    decoded = httpx.BasicAuth(CLIENT, "quite%20secret%20%2F%20client%3As")._auth_header
    assert headers["authorization"] == decoded
    assert browser.get("/ui/").status_code == 200


NOW = int(time.time())
LIES: dict[str, tuple[Callable[[Issuer, str], str], int, str]] = {
    "another nonce": (lambda i, n: signed(person(i, "another")), 403, "another sign-in"),
    "no nonce": (lambda i, n: signed({k: v for k, v in person(i, n).items() if k != "nonce"}), 403, "nonce"),
    "another client": (lambda i, n: signed({**person(i, n), "aud": "other"}), 403, "another audience"),
    "several clients": (lambda i, n: signed({**person(i, n), "aud": [CLIENT, "other"]}), 403, "azp"),
    "another issuer": (lambda i, n: signed({**person(i, n), "iss": "https://x.y"}), 403, "another issuer"),
    "over": (lambda i, n: signed({**person(i, n), "exp": NOW - 600}), 403, "over"),
    "foreign key": (lambda i, n: signed(person(i, n), FOREIGN), 403, "signature"),
    "unsigned": (lambda i, n: "eyJhbGciOiJub25lIn0.e30.", 403, "signed otherwise"),
    "another algorithm": (lambda i, n: signed(person(i, n), RSA, "RS512"), 403, "signed otherwise"),
    "oversized": (lambda i, n: signed(person(i, n, filler="x" * 30_000)), 403, "more than"),
    "no token": (lambda i, n: "hello", 403, "no identity token"),
    "not a reader": (lambda i, n: signed({**person(i, n), "groups": ["writers"]}), 403, "not among"),
    "groups an object": (lambda i, n: signed({**person(i, n), "groups": {"readers": 1}}), 403, "not among"),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_identity_token__that_is_wrong__begins_no_session(
    browser: httpx.Client, issuer: Issuer, lie: str
) -> None:
    make, status, why = LIES[lie]
    asked = begin(browser)
    give(issuer, make(issuer, asked.params["nonce"]))
    told = back(browser, asked)
    assert (told.status_code, why in told.text) == (status, True), told.text
    assert "orchard_session" not in told.headers.get("set-cookie", "")
    assert browser.get("/ui/packages").status_code == 303


ANSWERS: dict[str, tuple[int, dict[str, str], bytes]] = {
    "redirecting": (307, {"location": "/elsewhere"}, b""),
    "redirecting to another host": (302, {"location": "https://evil.example.com/token"}, b""),
    "failing": (500, {}, b""),
    "not JSON": (200, {}, b"<html>"),
    "without a token": (200, {}, b'{"access_token": "x"}'),
    "token no text": (200, {}, b'{"id_token": 7}'),
    "oversized": (200, {}, b" " * 400_000),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_token_endpoint__that_misbehaves__is_as_one_that_is_away(
    browser: httpx.Client, issuer: Issuer, name: str
) -> None:
    asked = begin(browser)
    issuer.answers["/token"] = ANSWERS[name]
    told = back(browser, asked)
    assert told.status_code == 503 and "sessions that there are go on" in told.text, told.text
    assert browser.get("/ui/packages").status_code == 303


def test_token_endpoint__that_refuses_the_code__is_told_in_its_word(
    browser: httpx.Client, issuer: Issuer
) -> None:
    for body, told in (
        (b'{"error": "invalid_grant"}', "invalid_grant"),
        (b'{"error": "<b>"}', "says not why"),
    ):
        asked = begin(browser)
        issuer.answers["/token"] = (400, {}, body)
        answer = back(browser, asked)
        assert answer.status_code == 403 and told in answer.text and "<b>" not in answer.text


def test_answer__of_another_provider__is_refused_before_its_code_is_sent(
    browser: httpx.Client, issuer: Issuer
) -> None:
    asked = begin(browser)
    parameters = {"code": "x", "state": asked.params["state"], "iss": "https://evil.example.com"}
    told = browser.get("/ui/signed-in", params=parameters)
    assert told.status_code == 403 and "another provider" in told.text and issuer.posted == []


@pytest.mark.parametrize("state", ["", "x", "é"])
def test_answer__with_another_state__is_refused_before_its_code_is_sent(
    browser: httpx.Client, issuer: Issuer, state: str
) -> None:
    begin(browser)
    told = browser.get("/ui/signed-in", params={"code": "x", "state": state})
    assert told.status_code == 403 and "not begun in this browser" in told.text and issuer.posted == []


@pytest.mark.parametrize("cookie", ["", "x", "orchard_signin=AAAA", "orchard_signin=" + "A" * 4000])
def test_answer__with_a_cookie_that_is_none__is_refused(
    orchard: Cluster, browser: httpx.Client, cookie: str
) -> None:
    asked = begin(browser)
    headers = {**BROWSER, "cookie": cookie}
    url = f"{orchard.gateway.base}/ui/signed-in?code=x&state={asked.params['state']}"
    told = httpx.get(url, headers=headers, trust_env=False)
    assert told.status_code == 403 and "not begun in this browser" in told.text
