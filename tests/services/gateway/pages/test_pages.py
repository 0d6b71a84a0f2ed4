"""Every page: what it may hold, who may see it, and that a list of all addresses is complete."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest
from litestar.handlers import HTTPRouteHandler

from services.gateway.pages.events import MEANINGS
from services.gateway.pages.routes import HANDLERS
from shared.artifacts.event_kinds import EVENT_KINDS
from tests.services.gateway.pages.conftest import OPERATOR, Town
from tests.support.page_list import addresses
from tests.support.town import MARK

pytestmark = pytest.mark.timeout(400)  # a whole Orchard starts first

NAMES = list(addresses("0" * 64, "0" * 32, "0" * 64))
MISSING = {"nothing": 404, "package-unknown": 404, "package-no-name": 404}
NOBODY: dict[str, str] = {}
FOR_OPERATORS = (
    "events",
    "held",
    "builds",
    "tokens",
    "audit",
    "jobs",
    "who-has",
    "disk",
    "policy",
    "webhooks",
)
# Pages that show a text which others write, and who has to look to see it.
MARKED = [
    ("packages", NOBODY), ("package", NOBODY), ("package-deprecated", NOBODY), ("version-yanked", NOBODY),
    ("file", NOBODY), ("upstreams", NOBODY), ("home", NOBODY), ("events", OPERATOR), ("jobs", OPERATOR),
    ("audit", OPERATOR), ("who-has", OPERATOR), ("held", OPERATOR), ("builds", OPERATOR), ("build", OPERATOR),
    ("tokens", OPERATOR), ("package-deprecated", OPERATOR), ("policy", OPERATOR), ("policy-why", NOBODY),
]  # fmt: skip

PATHS = {
    "GET": {
        "/",
        "/search",
        "/packages",
        "/packages/{protocol:str}/{name:path}",
        "/files/{sha256:str}",
        "/who-has",
        "/setup",
        "/upstreams",
        "/events",
        "/policy",
        "/held",
        "/builds",
        "/builds/{id:str}",
        "/tokens",
        "/webhooks",
        "/disk",
        "/locks",
        "/locks/{key:str}",
        "/docs",
        "/docs/{name:str}",
        "/audit",
        "/jobs",
        "/queues",
        "/signin",
        "/signin-elsewhere",
        "/signed-in",
        "/signed-out",
        "/assets/{name:str}",
    },
    "POST": {
        "/packages/{protocol:str}/refresh",
        "/upstreams/{upstream:int}/test",
        "/upstreams/{upstream:int}/pause",
        "/upstreams/{upstream:int}/resume",
        "/events/{event:int}/accept",
        "/blocks",
        "/blocks/{block_id:int}/lift",
        "/policy",
        "/exemptions",
        "/exemptions/{exemption:int}/end",
        "/held/approve",
        "/held/deny",
        "/feeds/accept",
        "/tokens",
        "/tokens/{token:int}/rotate",
        "/tokens/{token:int}/revoke",
        "/webhooks",
        "/webhooks/{webhook:int}/test",
        "/webhooks/{webhook:int}/pause",
        "/webhooks/{webhook:int}/resume",
        "/webhooks/{webhook:int}/remove",
        "/jobs/{queue:str}/{letter:str}/retry",
        "/jobs/{queue:str}/{letter:str}/drop",
        "/signin",
        "/signout",
    },
}


SCRIPT = re.compile(r"(?:\./|(?:\.\./)+)assets/(?:orchard|queues|uPlot\.iife\.min)\.js")


class Elements(HTMLParser):
    """What of a page could run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[str | None] = []
        self.images: list[str | None] = []
        self.inline: list[str] = []  # attributes that hold script or style
        self.ids: list[str] = []
        self.foreign: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        about = dict(attrs)
        if tag == "script":
            self.scripts.append(about.get("src"))
        if tag == "img":
            self.images.append(about.get("src"))
        self.inline += [name for name in about if name.startswith("on") or name == "style"]
        self.ids += [about["id"] or ""] if "id" in about else []
        if tag == "a" and about.get("rel") == "noreferrer" and (about["href"] or "").startswith("https://"):
            return  # what a package's publisher names
        for name in ("href", "src", "action"):
            target = about.get(name) or ""
            if ":" in target.partition("/")[0] or target.startswith("//"):
                self.foreign.append(target)


def test_pages__every_address__stands_in_the_list() -> None:
    found: dict[str, set[str]] = {"GET": set(), "POST": set()}
    for each in HANDLERS:
        assert isinstance(each, HTTPRouteHandler)
        for method in each.http_methods:
            found[str(method)] |= each.paths
    assert found == PATHS


@pytest.mark.parametrize("reader", ["operator", "nobody"])
@pytest.mark.parametrize("name", NAMES)
def test_page__with_markup_in_every_text__shows_it_as_text_under_a_strict_policy(
    town: Town, name: str, reader: str
) -> None:
    answer = town.get(town.addresses[name], OPERATOR if reader == "operator" else NOBODY)
    assert answer.status_code == MISSING.get(name, 200), answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "form-action 'self'" in policy
    assert answer.headers["cache-control"] == "no-store"
    found = Elements(answer.text)
    assert [each for each in found.scripts if each is None or not SCRIPT.fullmatch(each)] == []
    assert [each for each in found.images if each is None or not each.endswith("assets/icon.svg")] == []
    assert (found.inline, found.foreign) == ([], [])
    assert len(found.ids) == len(set(found.ids)), "an id names one element"
    assert "<script>" not in answer.text and "onerror=alert(1)>" not in answer.text


@pytest.mark.parametrize(("name", "reader"), MARKED)
def test_page__of_a_text_that_others_write__shows_all_of_it(
    town: Town, name: str, reader: dict[str, str]
) -> None:
    assert MARK[:40] in unescape(town.get(town.addresses[name], reader).text), (
        "else the table above proves nothing"
    )


@pytest.mark.parametrize("name", FOR_OPERATORS)
def test_page__for_operators__tells_others_nothing_but_the_way_in(town: Town, name: str) -> None:
    shown = town.get(town.addresses[name], NOBODY).text
    assert "is for operators" in shown and 'href="./signin"' in shown
    assert "left-pad" not in shown and "flsak" not in shown


def test_head__leads_readers_to_what_they_may_see_and_operators_to_all(town: Town) -> None:
    linked = {
        who: set(re.findall(r'<li[^>]*><a href="\./([a-z]+)"', town.get("", headers).text))
        for who, headers in (("operator", OPERATOR), ("nobody", NOBODY))
    }
    assert linked["nobody"] == {"packages", "setup", "locks", "policy", "upstreams", "queues"}
    assert linked["operator"] - linked["nobody"] == {*FOR_OPERATORS} - {"policy", "who-has"}


def test_page__of_a_file__has_digest_source_and_both_directions_of_dependencies(town: Town) -> None:
    address = town.addresses["file"]
    shown = unescape(town.get(address, NOBODY).text)
    for text in (address.removeprefix("files/"), town.orchard.upstream.url, "werkzeug>=3", "Needed by"):
        assert text in shown
    needed = town.get("packages/pypi/werkzeug", NOBODY).text
    assert "werkzeug&gt;=3" in needed.partition("Needed by")[2]


def test_page__of_a_package__tells_versions_with_what_is_held_and_why(town: Town) -> None:
    shown = unescape(town.get("packages/npm/left-pad", NOBODY).text)
    assert "1.3.0" in shown and "deprecated" in shown and "padStart" in shown
    assert "blocked" in shown and "broken" in shown
    assert "npm install left-pad" in shown


def test_package__whose_list_nobody_asked_for__is_told_from_stored_files(town: Town) -> None:
    for address in ("packages/maven/org.example:fixed", "packages/maven/org.example:fixed?version=4.13.2"):
        shown = town.get(address, NOBODY).text
        assert "4.13.2" in shown and "rom stored files alone" in shown, address
        assert (
            "never served" not in shown and "cannot be told" not in shown and "no longer listed" not in shown
        )
    assert "fixed-4.13.2.jar" in shown
    assert town.get("packages/maven/org.example:fixed?version=9", NOBODY).status_code == 404


def test_package__versions_are_spelt_as_their_registry_spells_them(town: Town) -> None:
    for address in ("packages/pypi/flask", "packages/pypi/flask?version=3", "policy?of=pkg:pypi/flask@3"):
        shown = unescape(town.get(address, NOBODY).text)
        assert "3.0.0" in shown and "flask@3 " not in shown and "flask@3<" not in shown, address


@pytest.mark.parametrize(
    ("address", "page"),
    [
        ("pypi/Flask/3.1.0", "pypi/flask?version=3.1.0"),
        ("pypi/flask/3.1", "pypi/flask?version=3.1.0"),
        ("pypi/flask==3.1.0", "pypi/flask?version=3.1.0"),
        ("npm/@example/button/4.2.0", "npm/@example/button?version=4.2.0"),
        ("npm/left-pad@1.3.0", "npm/left-pad?version=1.3.0"),
        ("maven/org.example:fixed/4.13.2", "maven/org.example:fixed?version=4.13.2"),
        ("cargo/serde-like/1.0.0", "cargo/serde-like?version=1.0.0"),
        ("pypi/flask/9.9", ""),
        ("pypi/nobody/1.0", ""),
    ],
)
def test_package__with_a_version_behind_its_name__leads_there_or_is_none(
    town: Town, address: str, page: str
) -> None:
    answer = town.get(f"packages/{address}", NOBODY)
    if page:
        assert answer.status_code == 303 and answer.headers["location"].endswith(f"packages/{page}")
    else:
        assert answer.status_code == 404 and "install" not in answer.text.replace("orchard", "")


def test_package__tells_what_its_publisher_says_and_leads_to_web_pages_alone(town: Town) -> None:
    for address in ("packages/npm/left-pad", "packages/npm/left-pad?version=1.3.0"):
        shown = unescape(town.get(address, NOBODY).text)
        for text in ("Pads on the left", "WTFPL", "somebody", "latest"):
            assert text in shown, (address, text)
        assert 'href="https://left-pad.example.com/' in shown and 'rel="noreferrer"' in shown
        assert "javascript:" not in shown


def test_search__a_digest_leads_to_its_file_a_package_url_to_its_package(town: Town) -> None:
    file = town.addresses["file"]
    answer = town.get(f"search?q={file.removeprefix('files/')}", NOBODY)
    assert (answer.status_code, answer.headers["location"]) == (303, f"./{file}")
    for text, page in (
        ("pkg:pypi/Werkzeug", "pypi/werkzeug"),
        ("pkg:pypi/Werkzeug@3.0.4", "pypi/werkzeug?version=3.0.4"),
        ("Werkzeug==3.0.4", "pypi/werkzeug?version=3.0.4"),
        ("org.example:library:1.4", "maven/org.example:library?version=1.4"),
        ("@EXAMPLE/Button@4.2.0", "npm/@example/button?version=4.2.0"),
        ("Serde_Like", "cargo/serde-like"),
    ):
        found = town.get(f"search?{urlencode({'q': text})}", NOBODY)
        assert (found.status_code, found.headers["location"]) == (303, f"./packages/{page}"), text
    assert ">@example/button</a>" in town.get("search?q=BUTT", NOBODY).text
    assert "Nothing of that name" in town.get("search?q=zzzz", NOBODY).text


@pytest.mark.parametrize("client", ["pip", "uv", "poetry", "npm", "pnpm", "yarn", "mvn", "gradle", "cargo"])
def test_setup__each_client__has_the_lines_that_the_command_shows(town: Town, client: str) -> None:
    shown = unescape(
        town.get(f"setup?client={client}&token=yes&address=https://o.example.com/x", NOBODY).text
    )
    assert "https://o.example.com/x/" in shown or "//o.example.com/x/" in shown
    assert "ORCHARD_TOKEN" in shown
    assert f"orchard.pyz client-config {client} --write" in shown
    assert ("/nonexistent" not in shown and "your-project" in shown) or client not in ("poetry",)


def test_policy__tells_each_rule_whence_it_is_and_what_it_would_have_refused(town: Town) -> None:
    shown = unescape(town.get("policy?tried=yes").text)
    for text in ("ORCHARD_NOTHING_AFTER", "2099-01-01", "AGPL-3.0-only", "what the language has itself"):
        assert text in shown
    assert "pkg:npm/left-pad@1.3.0: what the language has itself" in shown, "it was served"
    assert "pkg:pypi/click@8.1.8" in shown and "needed today" in shown, "the exemption"
    assert "left[_-]pad" not in shown, "names are as the file has them"


def test_package__held_back__leads_to_the_rule_that_does_it(town: Town) -> None:
    address = "policy?of=pkg%3Anpm%2Fleft-pad%401.2.0"
    assert f'href="../../{address}"' in town.get("packages/npm/left-pad", NOBODY).text
    shown = unescape(town.get(address, NOBODY).text)
    assert "held back" in shown and "broken" in shown
    assert "Exempt it" not in shown and "Exempt it" in town.get(address).text, "that is for operators"


def test_home__after_installs__tells_what_was_saved(town: Town) -> None:
    shown = town.get("", NOBODY).text
    assert "hit rate; today" in shown and "not downloaded again" in shown
    assert "Nothing was asked for yet" not in shown


def test_home__malware_that_was_stored__is_told_to_operators_and_all_is_not_well(town: Town) -> None:
    shown = unescape(town.get("").text)
    assert MEANINGS["malware_stored"] in shown and 'href="./events?kind=malware_stored"' in shown
    assert "All is well" not in shown
    assert MEANINGS["malware_stored"] not in unescape(town.get("", NOBODY).text)


def test_events__each_kind__has_its_meaning(town: Town) -> None:
    assert set(MEANINGS) == set(EVENT_KINDS)
    shown = unescape(town.get("events").text)
    assert MEANINGS["upstream_mutated"] in shown and "ab" * 8 + "…" in shown


def test_upstreams__tell_how_they_answer(town: Town) -> None:
    shown = town.get("upstreams", NOBODY).text
    assert re.search(r"answers in \d+ m?s, at most \d+ m?s · \d+ requests", shown), shown
    assert town.orchard.upstream.url not in shown, "addresses are for operators"


def test_version__tells_what_it_needs_and_the_digests_of_its_files(town: Town) -> None:
    shown = unescape(town.get("packages/pypi/flask?version=3.1.0", NOBODY).text)
    sha256 = town.addresses["file"].removeprefix("files/")
    assert "werkzeug>=3" in shown.partition("Needs")[2] and sha256[:12] in shown
    none = unescape(town.get("packages/pypi/flask?version=2.3.3", NOBODY).text)
    assert "none of its files is stored here" in none


def test_lock__tells_its_files_and_how_to_build_from_it(town: Town) -> None:
    shown = unescape(town.get(town.addresses["lock"], NOBODY).text)
    key = town.addresses["lock"].removeprefix("locks/")
    assert f"{town.open}/v/lock-{key}" in shown and "setup?address=" in shown
    for text in ("flask==3.1.0", "flask-3.1.0-py3-none-any.whl", "exports/requirements.txt", "werkzeug"):
        assert text in shown
    of_build = shown.partition("What pkg:pypi/from-source@1.0 is built with: 1 package")[2]
    assert "setuptools-80.0-py3-none-any.whl" in of_build
    assert f'href="./locks/{key}"' in town.get("locks", NOBODY).text
    assert town.get(f"locks/{'0' * 64}", NOBODY).status_code == 404


def test_disk__tells_growth_of_each_count(town: Town) -> None:
    shown = town.get("disk").text  # the extractor may have counted once more
    assert "growth a day" in shown and "<b>–</b><span>growth" not in shown
    assert shown.count("<progress") >= 8


def test_file__tells_its_attestations(town: Town) -> None:
    shown = town.get(town.addresses["file"], NOBODY).text
    assert "Attestations" in shown and "ORCHARD_TRUST=verify" in shown


def test_pages__without_the_slash__lead_to_the_folder(town: Town) -> None:
    answer = town.get("../ui", NOBODY)
    assert (answer.status_code, answer.headers["location"]) == (303, "./ui/")


@pytest.mark.parametrize("address", ["blocks", "exemptions", "held/approve", "upstreams/1/pause", "signout"])
def test_address_of_a_form__opened_by_hand__is_a_page(town: Town, address: str) -> None:
    answer = town.get(address, NOBODY)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.headers["content-type"] == "text/html; charset=utf-8" and "<h1>" in answer.text
