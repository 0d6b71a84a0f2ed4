"""Who gets in, and from whose page a change may come."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.services.gateway.pages.conftest import OPERATOR, TOKEN, Town
from tests.support.orchard import wait_until
from tests.support.page_list import addresses

pytestmark = pytest.mark.timeout(400)  # a whole Orchard starts first

BROWSER = {"accept": "text/html,application/xhtml+xml"}
OPEN = {"signin", "documents", "nothing"}  # the way in; what tells of it; an address that no page has


@pytest.fixture
def stranger(town: Town) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=town.closed, trust_env=False, timeout=30) as client:
        yield client


@pytest.mark.parametrize(
    "name", [each for each in addresses("0" * 64, "0" * 32, "0" * 64) if each not in OPEN]
)
def test_page__reading_needs_a_token__a_browser_is_led_to_the_way_in_and_others_get_401(
    town: Town, stranger: httpx.Client, name: str
) -> None:
    address = town.addresses[name]
    led = stranger.get(f"/ui/{address}", headers=BROWSER)
    assert led.status_code == 303
    way_in = str(httpx.URL(f"{town.closed}/ui/{address}").join(led.headers["location"]).path)
    assert way_in == "/ui/signin"
    assert stranger.get(f"/ui/{address}").status_code == 401
    session = town.sign_in(TOKEN)
    assert stranger.get(f"/ui/{address}", headers=session).status_code in (200, 404)


def test_sign_in__leads_back_to_the_page_that_was_wanted(town: Town, stranger: httpx.Client) -> None:
    wanted = "/ui/packages/npm/@example/button?version=4.2.0"
    led = stranger.get(wanted, headers=BROWSER)
    form = stranger.get(httpx.URL(town.closed + wanted).join(led.headers["location"]))
    to = form.text.partition('name="to" value="')[2].partition('"')[0]
    back = town.post("signin", {"origin": town.closed}, town.closed, token=TOKEN, to=to)
    assert str(httpx.URL(f"{town.closed}/ui/signin").join(back.headers["location"])) == town.closed + wanted


@pytest.mark.parametrize(
    "to",
    [
        "//evil.example.com",
        "https://evil.example.com",
        "javascript:alert(1)",
        "/health",
        "../x",
        "a/../../x",
        "a/%2e%2E/x",
    ],
)
def test_sign_in__an_address_elsewhere__leads_home(town: Town, to: str) -> None:
    back = town.post("signin", {"origin": town.closed}, town.closed, token=TOKEN, to=to)
    assert (back.status_code, back.headers["location"]) == (303, "./")


def test_session__its_cookie__is_for_pages_alone_and_no_script_reads_it(
    town: Town, stranger: httpx.Client
) -> None:
    answer = town.post("signin", {"origin": town.closed}, town.closed, token=TOKEN)
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Max-Age=43200" in cookie
    assert TOKEN not in cookie and "Path" not in cookie
    session = {"cookie": cookie.partition(";")[0]}
    assert stranger.get("/ui/", headers=session).status_code == 200
    for path in ("/api/v1/packages/pypi", "/api/v1/admin/blocks", "/pypi/simple/flask/", "/api/v1/openapi"):
        assert stranger.get(path, headers=session).status_code == 401, path


def test_session__of_a_revoked_token__is_over_and_a_sign_out_ends_one(
    town: Town, stranger: httpx.Client
) -> None:
    number, token = town.token("leaver", "read")
    wait_until(
        lambda: stranger.get("/ui/", headers={"authorization": f"Bearer {token}"}).status_code == 200,
        what="the token",
    )
    session = town.sign_in(token)
    assert stranger.get("/ui/packages", headers=session).status_code == 200
    gone = httpx.delete(f"{town.open}/api/v1/admin/tokens/{number}", headers=OPERATOR, trust_env=False)
    assert gone.status_code == 200
    wait_until(lambda: stranger.get("/ui/packages", headers=session).status_code == 303, what="its end")
    session = town.sign_in(TOKEN)
    assert town.post("signout", session, town.closed).status_code == 303
    assert stranger.get("/ui/packages", headers=session).status_code == 303


def test_wrong_token__is_told_so_on_the_page(town: Town) -> None:
    answer = town.post("signin", {"origin": town.closed}, town.closed, token="nobody-knows-this-one")
    assert answer.status_code == 401
    assert "no token that is known here" in answer.text and "set-cookie" not in answer.headers


FORGED = [
    ("another site's form", {"origin": "https://evil.example.com"}),
    ("another site's script", {"sec-fetch-site": "cross-site"}),
    ("a sandboxed frame", {"origin": "null"}),
    ("a request that does not say", {}),
]
CHANGES = [
    "upstreams/1/pause",
    "upstreams/1/test",
    "blocks",
    "exemptions",
    "policy",
    "webhooks",
    "webhooks/1/remove",
    "events/1/accept",
    "jobs/index/x/drop",
    "packages/pypi/refresh",
    "signout",
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(("what", "headers"), FORGED, ids=[each[0] for each in FORGED])
def test_change__from_anything_but_an_own_page__is_refused(
    town: Town, what: str, headers: dict[str, str], change: str
) -> None:
    session = town.sign_in(TOKEN)
    answer = town.post(
        change, {"cookie": session["cookie"], **headers}, town.closed, of="pkg:pypi/flask", reason="x"
    )
    assert answer.status_code == 403, answer.text
    assert town.get("", {"cookie": session["cookie"]}, town.closed).status_code == 200, "the session goes on"


@pytest.mark.parametrize("change", [each for each in CHANGES if each != "signout"])
def test_change__by_who_may_only_read__is_refused_by_the_same_guard(town: Town, change: str) -> None:
    for headers in ({"origin": town.open}, {}):  # nobody, where everybody may read
        assert town.post(change, headers, of="pkg:pypi/flask", reason="x").status_code == 401
    _, token = town.token(f"reader-{CHANGES.index(change)}", "read")
    bearer = {"authorization": f"Bearer {token}"}
    wait_until(lambda: town.get("", bearer, town.closed).status_code == 200, what="the token")
    answer = town.post(change, town.sign_in(token), town.closed, of="pkg:pypi/flask", reason="x")
    assert answer.status_code == 403 and "scope read" in answer.text


def test_page__under_a_foreign_host_on_loopback__is_refused(town: Town) -> None:
    for address in ("", "signin", "packages"):
        assert town.get(address, {"host": "evil.example.com"}).status_code == 421
