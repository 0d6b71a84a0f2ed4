"""People sign in by a provider: a real one on loopback, by hand and in a real Chromium."""

from __future__ import annotations

import base64
import contextlib
import html
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from services.gateway.pages.signin.provider import COOKIE, UnderWay
from shared.models import FORMAT
from tests.pictures import SCREENS, show
from tests.services.gateway.pages.test_accessibility import AXE, FITS, RULES, RUN, needs_axe
from tests.support.chromium import chromium, needs_chromium
from tests.support.orchard import Cluster, cluster, free_port, wait_until
from tests.support.upstream import Upstream

pytestmark = pytest.mark.timeout(300)  # a whole Orchard starts first

ADMIN = "operators-token-of-tests"
BROWSER = {"accept": "text/html"}
USERS = {
    "alice": {"email": "alice@example.com", "email_verified": True},
    "boss": {"email": "boss@example.com", "email_verified": True},
    "stranger": {"email": "mallory@elsewhere.example", "email_verified": True},
    "pretender": {"email": "boss@example.com", "email_verified": False},
}


class Provider:
    """oidc-provider-mock in a process of its own, at another site than the pages (localhost)."""

    def __init__(self, log: Path) -> None:
        self.port = free_port()
        self.url = f"http://localhost:{self.port}"
        self._log = log
        self.start()

    def start(self) -> None:
        users = [f"--user-claims={json.dumps({'sub': sub, **claims})}" for sub, claims in USERS.items()]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "-p", str(self.port), *users],
                env={**os.environ, "PYTHONPATH": ""},
                stdout=output,
                stderr=output,
            )
        wait_until(self._answers, seconds=40, what="the provider")

    def _answers(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()[-3000:]
        with contextlib.suppress(httpx.HTTPError):
            found = httpx.get(f"{self.url}/.well-known/openid-configuration", trust_env=False, timeout=2)
            return found.json()["issuer"] == self.url
        return False

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    running = Provider(tmp_path_factory.mktemp("provider") / "log")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Iterator[Cluster]:
    port = free_port()
    settings = {
        "ORCHARD_ADMIN_TOKEN": ADMIN,
        "ORCHARD_ANONYMOUS_READ": "false",
        "ORCHARD_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "ORCHARD_OIDC_ISSUER": provider.url,
        "ORCHARD_OIDC_CLIENT_ID": "orchard",
        "ORCHARD_OIDC_CLIENT_SECRET": "of the client",
        "ORCHARD_OIDC_ADMIN": "email=boss@example.com",
        "ORCHARD_OIDC_READ": "email=*@example.com",
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
def browser(orchard: Cluster) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=orchard.gateway.base, headers=BROWSER, trust_env=False, timeout=30) as client:
        yield client


def authorize(browser: httpx.Client, sub: str, to: str = "") -> httpx.Response:
    """The answer of the page that the provider leads back to, once `sub` has agreed there."""
    begun = browser.get(f"/ui/signin-elsewhere?to={to}")
    assert begun.status_code == 303, begun.text
    agreed = httpx.post(begun.headers["location"], data={"sub": sub}, trust_env=False)
    assert agreed.status_code == 302, agreed.text
    return browser.get(agreed.headers["location"])


def test_signin__offers_the_provider_beside_the_token(browser: httpx.Client) -> None:
    page = browser.get("/ui/signin?to=packages")
    assert "Sign in with localhost" in page.text and 'href="./signin-elsewhere?to=packages"' in page.text
    assert 'name="token"' in page.text


def test_person__signs_in_reads_and_signs_out(browser: httpx.Client) -> None:
    back = authorize(browser, "alice", to="packages%3Fprotocol%3Dnpm")
    assert back.status_code == 200, back.text
    assert 'content="0;url=./packages?protocol=npm"' in back.text
    cookie = back.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Path" not in cookie
    home = browser.get("/ui/")
    assert home.status_code == 200 and "oidc/alice@example.com" in home.text
    assert browser.get("/api/v1/packages/pypi").status_code == 401, "the cookie is for the pages alone"
    assert (
        browser.post("/ui/upstreams/1/pause", headers={"origin": str(browser.base_url)[:-1]}).status_code
        == 403
    )
    out = browser.post("/ui/signout", headers={"origin": str(browser.base_url).rstrip("/")})
    assert (out.status_code, out.headers["location"]) == (303, "./signed-out")
    assert browser.get("/ui/packages").status_code == 303


def test_person__who_has_signed_out__is_offered_the_same_at_the_provider(
    browser: httpx.Client, provider: Provider
) -> None:
    page = browser.get("/ui/signed-out")
    assert page.status_code == 200
    found = re.search(r'class="button" href="([^"]+)"', page.text)
    assert found is not None, page.text
    exit = httpx.URL(html.unescape(found[1]))
    own = f"{str(browser.base_url).rstrip('/')}/ui/signin"
    assert dict(exit.params) == {"client_id": "orchard", "post_logout_redirect_uri": own}
    assert str(exit).startswith(f"{provider.url}/")
    there = httpx.get(exit, trust_env=False)
    assert there.status_code == 200 and own in html.unescape(there.text), there.text


def test_operator__by_a_claim__changes_things_under_that_name_in_the_audit(browser: httpx.Client) -> None:
    assert authorize(browser, "boss").status_code == 200
    origin = {"origin": str(browser.base_url).rstrip("/")}
    blocked = browser.post("/ui/blocks", data={"of": "pkg:pypi/evil", "reason": "steals"}, headers=origin)
    assert blocked.status_code == 303, blocked.text
    audit = browser.get("/ui/audit")
    assert "oidc/boss@example.com" in audit.text


@pytest.mark.parametrize("sub", ["stranger", "pretender"])
def test_person__of_whom_no_claim_speaks__is_told_so(browser: httpx.Client, sub: str) -> None:
    back = authorize(browser, sub)
    assert back.status_code == 403 and "is not among those who may read here" in back.text
    assert "set-cookie" not in back.headers
    assert browser.get("/ui/packages").status_code == 303


@pytest.mark.parametrize("lacking", ["state", "nonce", "verifier"])
def test_sign_in_that_a_stranger_made_up__without_what_proves_it__is_none(
    browser: httpx.Client, lacking: str
) -> None:
    given = {"state": "s", "nonce": "n", "verifier": "v", lacking: ""}
    made = UnderWay(FORMAT, time.time() + 60, back="http://x", to="", **given)
    cookie = base64.urlsafe_b64encode(msgspec.msgpack.encode(made)).rstrip(b"=").decode()
    query = {"code": "c", "state": given["state"]}
    refused = browser.get("/ui/signed-in", params=query, headers={"cookie": f"{COOKIE}={cookie}"})
    assert refused.status_code == 403 and "not begun in this browser" in refused.text


def test_code__of_another_browser_or_a_second_time__is_refused(
    orchard: Cluster, browser: httpx.Client
) -> None:
    begun = browser.get("/ui/signin-elsewhere")
    agreed = httpx.post(begun.headers["location"], data={"sub": "boss"}, trust_env=False).headers["location"]
    with httpx.Client(headers=BROWSER, trust_env=False) as other:
        for _ in range(2):  # without a sign-in under way, and with one of its own
            refused = other.get(agreed)
            assert refused.status_code == 403 and "not begun in this browser" in refused.text
            assert "orchard_session" not in refused.headers.get("set-cookie", "")
            other.get(f"{orchard.gateway.base}/ui/signin-elsewhere")
    assert browser.get(agreed).status_code == 200
    again = browser.get(agreed)
    assert again.status_code == 403 and "does not take this sign-in" in again.text


def test_person__who_refuses_at_the_provider__is_told_so(browser: httpx.Client) -> None:
    begun = browser.get("/ui/signin-elsewhere")
    denied = httpx.post(begun.headers["location"], data={"action": "deny"}, trust_env=False)
    back = browser.get(denied.headers["location"])
    assert back.status_code == 403
    state = re.search(r"state=([^&]+)", begun.headers["location"])
    assert state is not None
    told = browser.get(f"/ui/signed-in?error=access_denied&state={state[1]}")
    assert told.status_code == 403 and "did not sign you in (access_denied)" in told.text
    odd = browser.get(f"/ui/signed-in?error=%3Cscript%3E&state={state[1]}")
    assert odd.status_code == 403 and "<script>alert" not in odd.text and "%3Cscript" not in odd.text


@pytest.mark.parametrize(
    "to",
    [
        "//evil.example.com",
        "https://evil.example.com",
        "javascript:alert(1)",
        "/health",
        "\\evil",
        "a%0d%0ab",
    ],
)
def test_sign_in__an_address_elsewhere__leads_home(browser: httpx.Client, to: str) -> None:
    back = authorize(browser, "alice", to=to)
    assert back.status_code == 200 and 'content="0;url=./"' in back.text


def test_provider__away__sessions_go_on_and_who_signs_in_is_told(
    browser: httpx.Client, provider: Provider, orchard: Cluster
) -> None:
    assert authorize(browser, "alice").status_code == 200
    begun = browser.get("/ui/signin-elsewhere")
    agreed = httpx.post(begun.headers["location"], data={"sub": "boss"}, trust_env=False).headers["location"]
    provider.stop()
    try:
        assert "oidc/alice@example.com" in browser.get("/ui/").text
        told = browser.get(agreed)
        assert told.status_code == 503 and "sessions that there are go on" in told.text
        assert 'name="token"' in told.text, "a token works all the same"
        assert "oidc/alice@example.com" in browser.get("/ui/").text
    finally:
        provider.start()
    orchard.fetcher.stop()
    try:
        none = browser.get("/ui/signin-elsewhere")
        assert none.status_code == 503 and "no fetcher is running" in none.text
        assert "oidc/alice@example.com" in browser.get("/ui/").text
        origin = {"origin": str(browser.base_url).rstrip("/")}
        assert browser.post("/ui/signout", headers=origin).status_code == 303
        out = browser.get("/ui/signed-out")
        assert out.status_code == 200 and "may still be signed in" in out.text
    finally:
        orchard.start("fetcher")


@needs_chromium
@needs_axe
async def test_pages_of_signing_in_and_out__with_a_provider__have_no_violation_and_fits(
    orchard: Cluster, tmp_path: Path
) -> None:
    found = []
    async with chromium(tmp_path) as page:
        for screen, (width, height, dark) in SCREENS.items():
            await page.resize(width, height, dark=dark)
            for where in ("signin", "signed-out"):
                await show(page, f"{orchard.gateway.base}/ui/{where}")
                await page.evaluate(AXE.read_text() + ";1")
                found += [f"{where}, {screen}: {each}" for each in await page.evaluate(RUN % RULES)]
                if not await page.evaluate(FITS):
                    found.append(f"{where}, {screen}: scrolls sideways")
    assert found == []


@needs_chromium
async def test_sign_in__in_chromium__from_the_page_that_was_wanted_and_back(
    orchard: Cluster, tmp_path: Path
) -> None:
    base = orchard.gateway.base
    async with chromium(tmp_path) as page:
        await page.call("Page.navigate", url=f"{base}/ui/packages?protocol=npm")
        await page.until("location.pathname === '/ui/signin' && document.readyState === 'complete'")
        await page.evaluate("document.querySelector('a[href*=signin-elsewhere]').click()")
        await page.until(
            "location.hostname === 'localhost' && document.querySelector('input[name=sub]') !== null"
        )
        await page.evaluate("document.querySelector('input[name=sub]').value = 'alice'")
        await page.evaluate("document.querySelector('input[name=sub]').form.requestSubmit()")
        await page.until(
            f"location.href === '{base}/ui/packages?protocol=npm' && document.readyState === 'complete'"
        )
        assert "oidc/alice@example.com" in await page.evaluate("document.querySelector('.who').textContent")
        assert await page.evaluate("document.cookie") == ""
        page.complaints.clear()  # of the provider's own pages
        await page.evaluate("document.querySelector('.who button').click()")
        await page.until("location.pathname === '/ui/signed-out' && document.readyState === 'complete'")
        assert "localhost" in await page.evaluate("document.querySelector('a.button').textContent")
        await page.evaluate("document.querySelector('a.button').click()")
        await page.until("location.hostname === 'localhost' && document.readyState === 'complete'")
        page.complaints.clear()
        await show(page, f"{base}/")
        assert page.complaints == []
