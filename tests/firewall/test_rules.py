"""The policy file: each kind of rule on every way to bytes, over all protocols; approvals and denials."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.firewall.shelves import OLD, SHELVES, YOUNG, Npm, Shelf
from tests.firewall.test_exemptions import orchard_command
from tests.gates.ways import COLD_WAYS, Haul
from tests.support.npm_builders import packument_path, publish
from tests.support.orchard import Cluster, cluster, problem, statuses, wait_until
from tests.support.upstream import Upstream

ADMIN = {"authorization": "Bearer operators-token-of-tests"}
kinds = pytest.mark.parametrize("kind", SHELVES)
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def orchard(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Cluster]:
    settings = {"ORCHARD_CACHE_TTL_INDEX": "1", "ORCHARD_ADMIN_TOKEN": "operators-token-of-tests"}
    with cluster(tmp_path_factory.mktemp("rules"), upstream, gateways=2, **settings) as running:
        yield running


NewShelf = Callable[[str], Shelf]


@pytest.fixture
def shelf(orchard: Cluster, upstream: Upstream) -> NewShelf:
    return lambda kind: SHELVES[kind](orchard, upstream, f"ruled-{next(_numbers)}")


class Policy:
    """What an operator applies."""

    def __init__(self, orchard: Cluster) -> None:
        self.orchard = orchard

    def post(self, path: str, **value: Any) -> httpx.Response:
        url = self.orchard.url(f"/api/v1/admin/{path}")
        return httpx.post(url, json=value, headers=ADMIN, timeout=30, trust_env=False)

    def apply(self, *rules: str, **options: Any) -> Any:
        text = "\n".join(f"[[rule]]\n{each}" for each in rules)
        answer = self.post("policy", policy=text, **{"yes": True, **options})
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def policy(orchard: Cluster) -> Iterator[Policy]:
    found = Policy(orchard)
    yield found
    found.apply()


def name_of(it: Shelf) -> str:
    return f"org.example:{it.name}" if it.protocol == "maven" else it.name


def purl(it: Shelf, version: str = "") -> str:
    types = {"pypi": "pypi", "npm": "npm", "cargo": "cargo", "maven": "maven/org.example"}
    name = it.name.replace("@", "%40")
    return f"pkg:{types[it.protocol]}/{name}{f'@{version}' if version else ''}"


def refused_by(it: Shelf, path: str, words: str) -> None:
    answer = it.get(path)
    assert answer.status_code == 403, path
    told = problem(answer)
    assert words in told["detail"]
    if it.protocol != "cargo":
        assert told["code"] == "policy"


@kinds
@pytest.mark.parametrize("way", COLD_WAYS)
def test_version_that_a_condition_names__no_way_gives_a_byte(
    shelf: NewShelf, policy: Policy, kind: str, way: str
) -> None:
    it = shelf(kind)
    it.put({"1.0.0": OLD, "2.0.0": OLD})
    version = "2" if kind == "pypi" else "2.0.0"
    policy.apply(f"name = 'no two'\nwhen = '''name == \"{name_of(it)}\" && version == \"{version}\"'''")
    haul = Haul(it.orchard.gateway.port, it.file("2.0.0"), len(it.data["2.0.0"]))
    COLD_WAYS[way](haul)
    assert {answer.status for answer in haul.answers} == {403}
    assert not any(haul.known)
    if kind != "maven":  # its files have their dates themselves, and are judged once they came
        assert it.asked("2.0.0") == 0, "nor is the upstream asked for one"
    head = Haul(it.orchard.gateway.port, it.file("2.0.0"), 1).ask(method="HEAD")
    assert (head.status, head.body) == (403, b"")
    for path in (it.file("2.0.0"), *it.beside("2.0.0")):
        refused_by(it, path, "no two: its condition holds")
    assert it.shown() == ["1.0.0"]
    for path in (it.file("1.0.0"), *it.beside("1.0.0")):
        assert it.get(path).status_code == 200, path


@kinds
def test_rule_is_applied__stored_and_hot_files_stay_or_go__and_come_back_with_its_end(
    shelf: NewShelf, orchard: Cluster, policy: Policy, kind: str
) -> None:
    it = shelf(kind)
    it.put({"1.0.0": OLD, "2.0.0": OLD, "3.0.0": OLD})
    kept = (it.file("2.0.0"), *it.beside("2.0.0"))
    for path in (it.page, *kept) * 3:
        assert statuses(orchard, path) == [200, 200]
    rule = f"name = 'none of it'\nwhen = '''name == \"{name_of(it)}\"'''"
    policy.apply(rule)
    wait_until(lambda: statuses(orchard, it.file("3.0.0")) == [403, 403], what="the rule")
    assert statuses(orchard, it.file("2.0.0")) == [200, 200]  # what is stored stays
    wait_until(lambda: it.shown() == ["2.0.0"], what="the page")
    policy.apply(f"{rule}\nbegan = '2020-01-01'")
    for path in kept:
        wait_until(lambda path=path: statuses(orchard, path) == [403, 403], what=path)
    wait_until(lambda: it.shown() == [], what="the page without it")
    policy.apply()
    wait_until(lambda: statuses(orchard, it.file("2.0.0")) == [200, 200], what="the rule's end")
    wait_until(lambda: it.shown() == ["1.0.0", "2.0.0", "3.0.0"], what="the whole page")


@kinds
def test_name__refused_or_on_no_list__nothing_of_it_and_others_are_served(
    shelf: NewShelf, orchard: Cluster, policy: Policy, kind: str
) -> None:
    it, other = shelf(kind), shelf(kind)
    for each in (it, other):
        each.put({"1.0.0": OLD})
        assert each.get(each.file("1.0.0")).status_code == 200
    named = f"protocols = ['{it.protocol}']\nnames = ['{name_of(it)}']"
    for rule, refused, served in (
        (f"name = 'out'\nrefuse = true\nreason = 'see the wiki'\n{named}", it, other),
        (f"name = 'list'\nonly = true\n{named}", other, it),
    ):
        policy.apply(rule)
        for path in (refused.page, refused.file("1.0.0"), *refused.beside("1.0.0")):
            wait_until(lambda path=path: statuses(orchard, path) == [403, 403], what=path)
            refused_by(refused, path, "see the wiki" if refused is it else "on no list")
        assert served.shown() == ["1.0.0"]
        made = policy.post("held/approve", of=purl(refused, "1.0.0"), reason="looked at")
        assert made.status_code in (200, 201), made.text
        wait_until(lambda it=refused: it.get(it.file("1.0.0")).status_code == 200, what="the approval")
        assert refused.shown() == ["1.0.0"]


@kinds
def test_minimum_age_by_name__in_place_of_none(shelf: NewShelf, policy: Policy, kind: str) -> None:
    it, other = shelf(kind), shelf(kind)
    for each in (it, other):
        each.put({"1.0.0": OLD, "2.0.0": YOUNG})
    policy.apply(
        f"name = 'ours at once'\nminimum_age = '0'\nnames = ['{name_of(other)}']",
        "name = 'a week'\nminimum_age = '7d'",
    )
    assert (it.shown(), other.shown()) == (["1.0.0"], ["1.0.0", "2.0.0"])
    assert [each.get(each.file("2.0.0")).status_code for each in (it, other)] == [403, 200]


@kinds
def test_minimum_age_by_source(shelf: NewShelf, policy: Policy, kind: str) -> None:
    it = shelf(kind)
    it.put({"1.0.0": OLD, "2.0.0": YOUNG})
    other = {"protocol": it.protocol, "name": "elsewhere", "url": "https://packages.example.com/"}
    assert policy.post("upstreams", **other, enabled=False).status_code in (201, 409)  # kinds of one protocol
    policy.apply("name = 'another'\nminimum_age = '7d'\nsources = ['elsewhere']")
    assert it.shown() == ["1.0.0", "2.0.0"]
    sources = httpx.get(it.orchard.url("/api/v1/admin/upstreams"), headers=ADMIN, trust_env=False).json()
    own = {each["name"] for each in sources["items"] if each["protocol"] == it.protocol}
    (name,) = own - {"elsewhere"}
    policy.apply(f"name = 'this one'\nminimum_age = '7d'\nsources = ['{name}']\nbegan = '2020-01-01'")
    wait_until(lambda: it.shown() == ["1.0.0"], what="the rule")
    refused_by(it, it.file("2.0.0"), "this one: published")


def manifests(it: Shelf, versions: dict[str, dict[str, Any]]) -> None:
    assert isinstance(it, Npm)
    it.data = publish(it.upstream, it.name, versions, size_bytes=400, time={})


def test_licences__by_spdx(shelf: NewShelf, policy: Policy) -> None:
    it = shelf("npm")
    told = ["MIT", "(MIT OR AGPL-3.0-only)", "AGPL-3.0-only", "SEE LICENSE IN x", None]
    manifests(it, {f"{n}.0.0": {"license": each} for n, each in enumerate(told, 1)})
    deny = "name = 'no copyleft'\nlicences = {deny = ['AGPL-3.0-only']}"
    policy.apply(deny)
    wait_until(lambda: it.shown() == ["1.0.0", "2.0.0", "4.0.0", "5.0.0"], what="the rule")
    refused_by(it, it.file("3.0.0"), "no copyleft: its licence is AGPL-3.0-only")
    policy.apply("name = 'few'\nlicences = {allow = ['MIT'], unknown = 'hold'}")
    wait_until(lambda: it.shown() == ["1.0.0", "2.0.0"], what="the allow list")


def test_install_scripts__new_since_the_last_allowed_version__held_until_approved(
    shelf: NewShelf, policy: Policy
) -> None:
    it = shelf("npm")
    scripts = {"scripts": {"postinstall": "node x.js"}}
    manifests(it, {"1.0.0": {}, "1.1.0": scripts, "1.2.0": scripts, "1.3.0": {}})
    policy.apply("name = 'scripts'\ninstall_scripts = 'new'\nbegan = '2020-01-01'")
    wait_until(lambda: it.shown() == ["1.0.0", "1.3.0"], what="the rule")
    refused_by(it, it.file("1.1.0"), "unlike that of 1.0.0")
    (row,) = policy_held(it, "1.2.0")
    assert (row["rule"], row["change"]["since"], row["change"]["scripts"]) == ("policy", "1.0.0", True)
    policy.post("held/approve", of=purl(it, "1.1.0"), reason="read")
    wait_until(lambda: it.get(it.file("1.2.0")).status_code == 200, what="what follows the approved one")
    assert it.shown() == ["1.0.0", "1.1.0", "1.2.0", "1.3.0"]
    wait_until(lambda: policy_held(it) == [], what="the empty queue")


def test_file_of_a_project_without_a_list__is_compared_with_what_is_stored(
    shelf: NewShelf, policy: Policy, upstream: Upstream
) -> None:
    """Its registry has documents of single versions alone."""
    it = shelf("npm")
    scripts = {"scripts": {"postinstall": "node x.js"}}
    manifests(it, {"1.0.0": {}, "2.0.0": scripts, "3.0.0": {}})
    upstream.remove(packument_path(it.name))
    assert it.get(it.file("1.0.0")).content == it.data["1.0.0"]
    policy.apply("name = 'scripts'\ninstall_scripts = 'new'\nbegan = '2020-01-01'")
    wait_until(lambda: it.get(it.file("2.0.0")).status_code == 403, what="the rule")
    for path in (it.file("2.0.0"), *it.beside("2.0.0")):
        refused_by(it, path, "unlike that of 1.0.0")
    assert it.asked("2.0.0") == 0
    assert it.get(it.file("3.0.0")).content == it.data["3.0.0"]


def policy_held(it: Shelf, version: str = "") -> list[dict[str, Any]]:
    of = purl(it, version)
    answer = it.orchard.get(f"/api/v1/admin/held/versions?of={of}", headers=ADMIN)
    return list(answer.json()["items"])


def test_rule_that_was_away__refuses_what_it_had_refused(shelf: NewShelf, policy: Policy) -> None:
    it = shelf("pypi")
    it.put({"1.0.0": OLD})
    rule = f"""name = 'out'\nwhen = '''name == "{name_of(it)}"'''"""

    def answers(status: int, what: str) -> None:
        wait_until(lambda: it.get(it.file("1.0.0")).status_code == status, seconds=60, what=what)

    policy.apply(rule)
    answers(403, "the rule")
    made = policy.post("exemptions", of=purl(it, "1.0.0"), reason="once")
    answers(200, "the exemption")  # so it is stored, after the rule began
    address = it.orchard.url(f"/api/v1/admin/exemptions/{made.json()['id']}")
    assert httpx.delete(address, headers=ADMIN, trust_env=False).status_code == 200
    answers(403, "the end of the exemption")
    policy.apply(f"{rule}\nreason = 'other words'")
    wait_until(lambda: "other words" in it.get(it.file("1.0.0")).text, seconds=60, what="the words")
    policy.apply()
    answers(200, "no rule")
    policy.apply(rule)
    answers(403, "the rule that is back")


def refusal_of_page(it: Shelf) -> str:
    """Why nobody gets it; waits until nobody does."""
    wait_until(lambda: it.orchard.get(it.page).status_code == 403, seconds=60, what="the refusal")
    answer = it.orchard.get(it.page)
    told = problem(answer)
    assert it.protocol == "cargo" or told["code"] == "policy"
    assert httpx.head(it.orchard.url(it.page), trust_env=False).status_code == 403
    return str(told["detail"])


@kinds
def test_typo_of_a_popular_name__held_unless_it_was_used_before(
    shelf: NewShelf, policy: Policy, kind: str
) -> None:
    it = shelf(kind)
    it.put({"1.0.0": OLD, "2.0.0": OLD})
    name = name_of(it)
    rule = f"name = 'typos'\ntypo_of = ['{name}s', '{name}']"
    policy.apply(rule)
    assert it.shown() == ["1.0.0", "2.0.0"]  # it is popular itself
    assert it.get(it.file("1.0.0")).status_code == 200
    policy.apply(f"name = 'typos'\ntypo_of = ['{name}s']")
    wait_until(lambda: it.get(it.page).status_code == 200, what="the page")
    assert it.shown() == ["1.0.0", "2.0.0"]  # a file was fetched here before the rule
    late = shelf(kind)
    late.put({"1.0.0": OLD})
    policy.apply(f"name = 'typos'\ntypo_of = ['{name_of(late)}x']")
    assert "typos: spelt nearly as" in refusal_of_page(late)
    refused_by(late, late.file("1.0.0"), "spelt nearly as")


@kinds
def test_typo__that_was_refused__is_refused_when_the_rule_is_changed_or_comes_back(
    shelf: NewShelf, policy: Policy, kind: str
) -> None:
    it = shelf(kind)
    it.put({"1.0.0": OLD})
    rule = f"name = 'typos'\ntypo_of = ['{name_of(it)}x']"
    policy.apply(rule)
    refusal_of_page(it)
    more = rule.replace("']", f"', '{name_of(it)}y']")  # another rule, which begins now
    policy.apply(f"{more}\nreason = 'no typos'")
    wait_until(lambda: "no typos" in refusal_of_page(it), seconds=60, what="the new words")
    policy.apply()
    wait_until(lambda: it.orchard.get(it.page).status_code == 200, seconds=60, what="its page")
    assert it.shown() == ["1.0.0"]
    policy.apply(rule)
    assert "spelt nearly as" in refusal_of_page(it)
    refused_by(it, it.file("1.0.0"), "spelt nearly as")


@kinds
def test_typo__with_a_version_that_is_exempt__has_a_page_of_it(
    shelf: NewShelf, policy: Policy, kind: str
) -> None:
    it = shelf(kind)
    it.put({"1.0.0": OLD, "2.0.0": OLD})
    policy.apply(f"name = 'typos'\ntypo_of = ['{name_of(it)}x']")
    refusal_of_page(it)
    made = policy.post("exemptions", of=purl(it, "1.0.0"), reason="meant")
    assert made.status_code in (200, 201), made.text
    wait_until(lambda: it.orchard.get(it.page).status_code == 200, seconds=60, what="its page")
    assert it.shown() == ["1.0.0"]
    refused_by(it, it.file("2.0.0"), "spelt nearly as")


def test_typo_of_any_popular_name__of_its_own_protocol(shelf: NewShelf, policy: Policy) -> None:
    policy.apply("name = 'typos'\ntypo_of = ['*']")
    (rule,) = policy.orchard.get("/api/v1/admin/policy", headers=ADMIN).json()["items"]
    assert "requests" in rule["popular"]["pypi"] and "lodash" in rule["popular"]["npm"]
    wrong, elsewhere = SHELVES["npm"], SHELVES["pypi"]
    held = wrong(policy.orchard, shelf("npm").upstream, "lodashh")
    held.put({"1.0.0": OLD})
    assert "spelt nearly as lodash" in refusal_of_page(held)
    it = elsewhere(policy.orchard, shelf("npm").upstream, "lodashh")
    it.put({"1.0.0": OLD})
    wait_until(lambda: it.get(it.page).status_code == 200, what="the page")
    assert it.shown() == ["1.0.0"]


def test_test__of_what_nobody_has_asked_for__by_its_name(policy: Policy) -> None:
    for rule, status in (("refuse = true\nnames = ['never-*']", 200), ("minimum_age = '7d'", 404)):
        text = f"[[rule]]\nname = 'out'\n{rule}\n"
        answer = policy.post("policy/test", of="pkg:npm/never-asked-for", policy=text)
        assert answer.status_code == status, answer.text
        if status == 200:
            assert [each["why"] for each in answer.json()["items"]] == ["out: refused"]


def test_names__mean_what_their_protocol_takes_for_them_and_are_shown_as_written(
    orchard: Cluster, upstream: Upstream, policy: Policy
) -> None:
    named, other = (SHELVES["npm"](orchard, upstream, f"Ruled{sign}spelling") for sign in "-_")
    for each in (named, other):
        each.put({"1.0.0": OLD})
    policy.apply("name = 'out'\nprotocols = ['npm']\nnames = ['Ruled-spelling']\nrefuse = true")
    wait_until(lambda: statuses(orchard, named.page) == [403, 403], what="the rule")
    assert other.shown() == ["1.0.0"]
    (rule,) = policy.orchard.get("/api/v1/admin/policy", headers=ADMIN).json()["items"]
    assert rule["names"] == ["Ruled-spelling"]


def test_held__denied__stays_out_when_the_rule_has_gone(shelf: NewShelf, policy: Policy) -> None:
    it = shelf("npm")
    manifests(it, {"1.0.0": {"license": "AGPL-3.0-only"}})
    policy.apply("name = 'no copyleft'\nlicences = {deny = ['AGPL-3.0-only']}")
    wait_until(lambda: it.shown() == [], what="the rule")
    assert policy.post("held/deny", of=purl(it, "1.0.0"), reason="no").status_code in (200, 201)
    policy.apply()
    answer = it.get(it.file("1.0.0"))
    assert (answer.status_code, problem(answer)["code"]) == (403, "blocked")


def test_apply__dry_run_and_rules_that_refuse_everything(shelf: NewShelf, policy: Policy) -> None:
    it = shelf("npm")
    manifests(it, {"1.0.0": {"license": "AGPL-3.0-only"}, "2.0.0": {"license": "MIT"}})
    for path in (it.page, it.file("1.0.0"), it.file("2.0.0")):
        assert it.get(path).status_code == 200
    rule = f"name = 'no copyleft'\nnames = ['{it.name}']\nlicences = {{deny = ['AGPL-3.0-only']}}"

    def counted() -> tuple[int, int]:
        (told,) = policy.apply(rule, dry_run=True)["would_refuse"]
        return told["versions"], told["clients"]

    wait_until(lambda: counted() == (1, 1), what="the ledger")
    (told,) = policy.apply(rule, dry_run=True)["would_refuse"]
    assert told["examples"] == [f"{purl(it, '1.0.0')}: no copyleft: its licence is AGPL-3.0-only"]
    assert told["whom"] and told["servings"] == 1
    assert it.get(it.file("1.0.0")).status_code == 200
    (note,) = policy.apply(rule, dry_run=True)["notes"]
    assert (
        "no copyleft: lists of " in note and "npm" not in note.partition(" tell")[0].partition("lists of")[2]
    )
    held = rule.replace("'AGPL-3.0-only']", "'AGPL-3.0-only'], unknown = 'hold'")
    assert policy.apply(held, dry_run=True)["notes"] == []
    everything = "[[rule]]\nname = 'all'\nrefuse = true\n"
    answer = policy.post("policy", policy=everything)
    assert answer.status_code == 409 and "would refuse everything" in answer.json()["detail"]
    assert policy.post("policy", policy=everything, yes=True).status_code == 200
    wait_until(lambda: it.get(it.page).status_code == 403, what="nothing at all")
    assert policy.apply(rule, dry_run=True)["ended"] == ["all"], "what a file takes away is told"


def warned(it: Shelf) -> list[tuple[str, list[str]]]:
    """The rule and the versions of each event."""
    about = f"kind=rule_warned&protocol={it.protocol}&project={quote(name_of(it), safe='')}"
    items = it.orchard.get(f"/api/v1/events?{about}", headers=ADMIN).json()["items"]
    assert {each["count"] for each in items} <= {1}
    return sorted((each["detail"]["rule"], each["detail"]["versions"]) for each in items)


@kinds
def test_rule_that_warns__one_event_with_the_versions__and_why_tells_it(
    shelf: NewShelf, policy: Policy, kind: str
) -> None:
    it = shelf(kind)
    it.put({"1.0.0": OLD, "2.0.0": OLD})
    one, two, three = ("1", "2", "3") if kind == "pypi" else ("1.0.0", "2.0.0", "3.0.0")
    name = name_of(it)
    policy.apply(
        f"name = 'watched'\nrefuse = true\nnames = ['{name}']\naction = 'warn'",
        f"name = 'no two'\nwhen = '''name == \"{name}\" && version == \"{two}\"'''\naction = 'warn'",
    )
    wait_until(lambda: it.get(it.page).status_code == 200, what="the page")
    assert it.shown() == ["1.0.0", "2.0.0"]
    assert it.get(it.file("2.0.0")).status_code == 200
    events = [("no two", [two]), ("watched", [one, two])]
    wait_until(lambda: warned(it) == events, seconds=60, what="the events")
    listed = it.orchard.get("/api/v1/events", headers=ADMIN, params={"warnings": False}).json()["items"]
    assert "rule_warned" not in {each["kind"] for each in listed}
    told = orchard_command(it.orchard, "why", purl(it))["items"]
    assert {each["allowed"] for each in told} == {True}
    texts = sorted(text for each in told for text in each["warnings"])
    assert texts == ["no two: its condition holds", "watched: refused", "watched: refused"]
    it.put({"1.0.0": OLD, "2.0.0": OLD, "3.0.0": OLD})
    wait_until(
        lambda: it.shown() == ["1.0.0", "2.0.0", "3.0.0"], seconds=60, what="the page with a new version"
    )
    grown = [("no two", [two]), ("watched", [one, two, three])]
    wait_until(lambda: warned(it) == grown, seconds=60, what="the version in the event")


BAD = {
    "no TOML": "[[rule",
    "two questions": "[[rule]]\nname = 'a'\nrefuse = true\nonly = true\n",
    "no question": "[[rule]]\nname = 'a'\n",
    "an unknown field": "[[rule]]\nname = 'a'\nrefuse = true\nnmaes = ['x']\n",
    "an unknown protocol": "[[rule]]\nname = 'a'\nrefuse = true\nprotocols = ['deb']\n",
    "no licence": "[[rule]]\nname = 'a'\nlicences = {deny = ['Beerware-9']}\n",
    "a loop in a loop": "[[rule]]\nname = 'a'\nwhen = 'dependencies.all(x, dependencies.all(y, x == y))'\n",
    "no condition": "[[rule]]\nname = 'a'\nwhen = 'name'\n",
    "the same twice": "[[rule]]\nname = 'a'\nrefuse = true\nnames=['x']\n" * 2,
    "popular names of its own": "[[rule]]\nname = 'a'\ntypo_of = ['*']\npopular = {npm = ['x']}\n",
    "a key's id": "[[rule]]\nname = 'a'\nprotocols = ['maven']\nsigned_by = ['0123456789abcdef']\n",
    "keys of all protocols": f"[[rule]]\nname = 'a'\nsigned_by = ['{'ab' * 20}']\n",
    "keys that only warn": "[[rule]]\nname = 'a'\nprotocols = ['maven']\naction = 'warn'\n"
    f"signed_by = ['{'ab' * 20}']\n",
    "a source that is not there": "[[rule]]\nname = 'a'\nrefuse = true\nsources = ['nobody']\n",
    "a package URL": "[[rule]]\nname = 'a'\nrefuse = true\nnames = ['pkg:npm/x@1.0.0']\n",
    "a name with a version": "[[rule]]\nname = 'a'\nrefuse = true\nnames = ['x@1.0.0']\n",
    "what names stand for": "[[rule]]\nname = 'a'\nrefuse = true\nmeant = {npm = ['x']}\n",
    "no age": "[[rule]]\nname = 'a'\nminimum_age = 'soon'\n",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_apply__bad_file__refused_with_the_reason_and_nothing_changes(policy: Policy, text: str) -> None:
    before = json.loads(policy.orchard.get("/api/v1/admin/policy", headers=ADMIN).content)
    answer = policy.post("policy", policy=text)
    assert answer.status_code == 400 and "policy" in answer.json()["detail"]
    assert json.loads(policy.orchard.get("/api/v1/admin/policy", headers=ADMIN).content) == before


def test_command__apply_test_show_held_and_decide(
    shelf: NewShelf, orchard: Cluster, policy: Policy, tmp_path: Path
) -> None:
    it = shelf("npm")
    manifests(
        it, {"1.0.0": {}, "1.1.0": {"dependencies": {"evil": "1"}}, "1.2.0": {"license": "AGPL-3.0-only"}}
    )
    assert it.shown() == ["1.0.0", "1.1.0", "1.2.0"]
    file = tmp_path / "policy.toml"
    when = f"""name == '{it.name}' && new_dependencies.exists(d, d == 'evil')"""
    file.write_text(f'[[rule]]\nname = "no evil"\nwhen = "{when}"\n')
    tried = orchard_command(orchard, "policy", "test", purl(it), "--file", str(file))["items"]
    assert [(each["allowed"], each["change"].get("dependencies")) for each in tried] == [
        (True, None),
        (False, ["evil"]),
        (True, None),
    ]
    assert orchard_command(orchard, "policy", "show")["items"] == []
    assert not orchard_command(orchard, "policy", "apply", str(file), "--dry-run")["applied"]
    assert orchard_command(orchard, "policy", "apply", str(file))["applied"]
    (rule,) = orchard_command(orchard, "policy", "show")["items"]
    assert (rule["name"], rule["when"]) == ("no evil", when)
    wait_until(lambda: it.shown() == ["1.0.0", "1.2.0"], what="the rule")
    listed = [each["purl"] for each in orchard_command(orchard, "held", "list")["items"]]
    assert purl(it, "1.1.0") in listed
    (shown,) = orchard_command(orchard, "held", "show", purl(it))["items"]
    assert (shown["change"]["since"], shown["change"]["dependencies"]) == ("1.0.0", ["evil"])
    orchard_command(orchard, "held", "approve", purl(it, "1.1.0"), "--reason", "it is not", "--expires", "1d")
    wait_until(lambda: it.shown() == ["1.0.0", "1.1.0", "1.2.0"], what="the approval")
    assert purl(it, "1.1.0") not in [e["purl"] for e in orchard_command(orchard, "held", "list")["items"]]
    orchard_command(orchard, "held", "deny", purl(it, "1.2.0"), "--reason", "copyleft")
    wait_until(lambda: it.shown() == ["1.0.0", "1.1.0"], what="the denial")
    actions = [each["action"] for each in orchard_command(orchard, "audit")["items"][:3]]
    assert actions == ["block.create", "exemption.create", "policy.apply"]
    orchard_command(orchard, "policy", "apply", str(tmp_path / "none"), fails=True)


def test_young_version__is_in_the_queue_with_what_it_changes(shelf: NewShelf, policy: Policy) -> None:
    """Of a rule of age alone, which asks no more than dates."""
    it = shelf("pypi")
    it.put({"1.0.0": OLD, "2.0.0": YOUNG})
    policy.apply(f"name = 'a week'\nminimum_age = '7d'\nnames = ['{it.name}']")
    assert it.shown() == ["1.0.0"]

    def queued() -> list[Any]:
        answer = it.orchard.get("/api/v1/admin/held", headers=ADMIN).json()
        return [each for each in answer["items"] if each["project"] == it.name]

    (row,) = queued()
    assert (row["rule"], row["version"], row["change"]["since"]) == ("minimum_age", "2.0.0", "1")
    answer = policy.post("policy", policy="")
    assert answer.status_code == 409, "to take all rules away asks for a yes"
    assert "takes away all that are in force" in answer.json()["detail"]
    assert policy.post("policy", policy="", dry_run=True).status_code == 200
    assert len(queued()) == 1
    assert row["until"] > row["published"]
    policy.apply()
    assert queued() == []
