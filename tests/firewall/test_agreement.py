"""Whoever is asked says the same: pages, files, HEAD, `why`, lists of versions, kept resolutions and locks,
of each kind of rule, over all protocols. Of files that were stored before the rule, which does not spare
them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest

from tests.firewall.feeds import Folder, await_feed, of_shelf
from tests.firewall.shelves import DAY, OLD, SHELVES, YOUNG, Shelf, moment
from tests.firewall.test_exemptions import orchard_command, purl
from tests.firewall.test_rules import ADMIN, name_of
from tests.support.orchard import Cluster, cluster, problem, wait_until
from tests.support.upstream import Upstream

KINDS = {"pypi": "{}", "npm": "{}@*", "cargo": "{}", "maven": "org.example:{}:2.0.0"}  # and what is resolved
CODES = {
    "block": "blocked",
    "malware": "malware",
    "minimum_age": "too_young",
    "nothing_after": "too_young",
    "policy": "policy",
}


@pytest.fixture(scope="module")
def orchard(
    tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, folder: Folder
) -> Iterator[Cluster]:
    settings = {"ORCHARD_OSV_FEEDS": str(folder.path), "ORCHARD_ADMIN_TOKEN": "operators-token-of-tests"}
    with cluster(tmp_path_factory.mktemp("agreement"), upstream, **settings) as running:
        await_feed(running)
        yield running


class Asked:
    """A package of two versions, of which the newer is stored, resolved and locked."""

    def __init__(self, it: Shelf) -> None:
        self.it, self.orchard = it, it.orchard
        it.put({"1.0.0": OLD, "2.0.0": YOUNG})
        requirement = KINDS[it.protocol].format(it.name)
        tables = {
            "npm": f'dependencies = {{ {it.name} = "*" }}',
            "maven": f'dependencies = ["{requirement}"]',
        }
        table = tables.get(it.protocol, f'requirements = ["{requirement}"]')
        self._resolve = {"json": {"protocol": it.protocol, "requirements": [requirement]}}
        self._ensure = {"content": f"[{it.protocol}]\n{table}\n"}
        assert self.page() == BOTH
        for each in (self.resolution, self.lock):
            wait_until(lambda each=each: each() == 200, seconds=60, what="what is kept")
        files = self._versions("2.0.0")["files"]
        self.digests = [each["sha256"] for each in files if not each["name"].endswith(".metadata")]
        assert all(self.digests)

    @property
    def sha256(self) -> str:
        """Of the file that is installed."""
        files = self._versions("2.0.0")["files"]
        (found,) = (each["sha256"] for each in files if not each["name"].endswith((".pom", ".metadata")))
        return str(found)

    def resolution(self) -> int:
        return self._post("resolve", self._resolve)

    def lock(self) -> int:
        return self._post("ensure", self._ensure)

    def _post(self, what: str, body: Mapping[str, Any]) -> int:
        url = self.orchard.url(f"/api/v1/{what}")
        return httpx.post(url, timeout=30, trust_env=False, **body).status_code

    def _versions(self, version: str) -> Any:
        name = quote(name_of(self.it), safe="")
        return self.orchard.get(f"/api/v1/versions/{self.it.protocol}/{name}?version={version}").json()

    def page(self) -> tuple[str, ...] | int:
        answer = self.it.get(self.it.page)
        return tuple(self.it.listed(answer.text)) if answer.status_code == 200 else answer.status_code

    def metadata(self) -> int | None:
        """Of PyPI: what is said of the metadata beside the file."""
        if self.it.protocol != "pypi":
            return None
        return self.it.get(f"{self.it.file('2.0.0')}.metadata").status_code

    def said(self) -> dict[str, Any]:
        """What each of them says of the newer version."""
        file = self.it.file("2.0.0")
        answer = self.it.get(file)
        head = httpx.head(self.orchard.url(file), timeout=30, trust_env=False)
        why = self.orchard.get("/api/v1/why", params={"of": purl(self.it, "2.0.0")}).json()
        told = problem(answer)["code"] if answer.status_code != 200 else ""
        return {
            "page": self.page(),
            "file": (
                answer.status_code,
                told if self.it.protocol != "cargo" else "",
            ),  # whose form has words alone
            "head": head.status_code,
            "metadata": self.metadata(),
            "why": _first(why),
            "versions": _first(self._versions("2.0.0")),
            "resolution": self.resolution(),
            "lock": self.lock(),
        }


def _first(answer: Any) -> tuple[bool, str] | None:
    items = answer.get("items") or ()
    return (items[0]["allowed"], items[0]["rule"]) if items else None


@pytest.fixture(scope="module")
def shelves(orchard: Cluster, upstream: Upstream) -> list[Asked]:
    return [Asked(SHELVES[kind](orchard, upstream, "agreed-thing")) for kind in KINDS]


class Operator:
    """Puts a policy in force, and takes it back."""

    def __init__(self, orchard: Cluster, folder: Folder) -> None:
        self._orchard, self._folder = orchard, folder
        self._made: list[str] = []
        self._advisories: list[str] = []

    def apply(self, *rules: str) -> None:
        text = "\n".join(f"[[rule]]\n{each}\nbegan = '2020-01-01'" for each in rules)
        self._post("policy", {"policy": text, "yes": True})

    def block(self, **what: str) -> None:
        self._made.append(f"blocks/{self._post('blocks', {'reason': 'no', **what})['id']}")

    def exempt(self, of: str) -> None:
        made = self._post("exemptions", {"reason": "ours", "of": of, "yes": True})
        self._made.append(f"exemptions/{made['id']}")

    def malware(self, it: Shelf) -> None:
        advisory = f"MAL-2026-{it.protocol}"
        self._advisories.append(advisory)
        self._folder.put(of_shelf(advisory, it, versions=["2.0.0"]))

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        url = self._orchard.url(f"/api/v1/admin/{path}")
        answer = httpx.post(url, json=body, headers=ADMIN, timeout=30, trust_env=False)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    def take_back(self) -> None:
        self.apply()
        for each in self._made:
            url = self._orchard.url(f"/api/v1/admin/{each}")
            assert httpx.delete(url, headers=ADMIN, timeout=30, trust_env=False).status_code < 300
        for each in self._advisories:
            self._folder.drop(each)


@pytest.fixture
def operator(orchard: Cluster, folder: Folder) -> Iterator[Operator]:
    found = Operator(orchard, folder)
    yield found
    found.take_back()


class Case(msgspec.Struct, frozen=True):
    """A policy, and what it comes to for the newer version."""

    rules: tuple[str, ...] = ()
    by_hand: Callable[[Operator, Asked], object] = lambda operator, asked: None
    rule: str = ""  # that decides
    allowed: bool = False
    page: tuple[str, ...] | int = ("1.0.0",)


def blocked_version(operator: Operator, asked: Asked) -> None:
    version = "2" if asked.it.protocol == "pypi" else "2.0.0"
    operator.block(protocol=asked.it.protocol, name=name_of(asked.it), version=version)


def malware_and_exempt(operator: Operator, asked: Asked) -> None:
    operator.malware(asked.it)
    operator.exempt(purl(asked.it, "2.0.0"))


def blocked_name_and_exempt_bytes(operator: Operator, asked: Asked) -> None:
    operator.block(protocol=asked.it.protocol, name=name_of(asked.it))
    exempt_bytes(operator, asked)


def malware_and_exempt_bytes(operator: Operator, asked: Asked) -> None:
    operator.malware(asked.it)
    exempt_bytes(operator, asked)


def exempt_bytes(operator: Operator, asked: Asked) -> None:
    for each in asked.digests:
        operator.exempt(each)


AGE = "name = 'a week'\nminimum_age = '7d'"
BOTH = ("1.0.0", "2.0.0")
CASES: dict[str, Case] = {
    "nothing": Case(allowed=True, page=BOTH),
    "a block of the name": Case(
        by_hand=lambda operator, of: operator.block(protocol=of.it.protocol, name=name_of(of.it)),
        rule="block",
        page=403,
    ),
    "a block of the version": Case(by_hand=blocked_version, rule="block"),
    "a block of the bytes": Case(by_hand=lambda operator, of: operator.block(sha256=of.sha256), rule="block"),
    "an age": Case((AGE,), rule="minimum_age"),
    "an age, and the name is exempt": Case(
        (AGE,), lambda operator, of: operator.exempt(purl(of.it)), rule="exemption", allowed=True, page=BOTH
    ),
    "an age, and the version is exempt": Case(
        (AGE,),
        lambda operator, of: operator.exempt(purl(of.it, "2.0.0")),
        rule="exemption",
        allowed=True,
        page=BOTH,
    ),
    "an age, and the bytes are exempt": Case((AGE,), exempt_bytes, rule="exemption", allowed=True, page=BOTH),
    "a date": Case((f"name = 'then'\nnothing_after = '{moment(10 * DAY)}'",), rule="nothing_after"),
    "malware": Case(by_hand=lambda operator, of: operator.malware(of.it), rule="malware"),
    "malware, and the version is exempt": Case(
        by_hand=malware_and_exempt, rule="exemption", allowed=True, page=BOTH
    ),
    "malware, and the bytes are exempt": Case(
        by_hand=malware_and_exempt_bytes, rule="exemption", allowed=True, page=BOTH
    ),
    "a block of the name, and the bytes are exempt": Case(
        by_hand=blocked_name_and_exempt_bytes, rule="exemption", allowed=True, page=403
    ),
    "licences": Case(
        ("name = 'told'\nlicences = {allow = ['MIT'], unknown = 'hold'}",), rule="policy", page=()
    ),
    "an allow list": Case(
        ("name = 'few'\nonly = true\nnames = ['nothing-of-this']",), rule="policy", page=403
    ),
    "an allow list, and the bytes are exempt": Case(
        ("name = 'few'\nonly = true\nnames = ['nothing-of-this']",),
        exempt_bytes,
        rule="exemption",
        allowed=True,
        page=403,
    ),
    "names like others": Case(
        ("name = 'typos'\ntypo_of = ['agreed-things', 'org.example:agreed-things']",), rule="policy", page=403
    ),
    "a condition": Case(("name = 'no two'\nwhen = 'version.startsWith(\"2\")'",), rule="policy"),
}


@pytest.mark.parametrize("name", CASES)
def test_policy__all_say_the_same_of_what_is_stored(
    orchard: Cluster, shelves: list[Asked], operator: Operator, name: str
) -> None:
    case = CASES[name]
    operator.apply(*case.rules)
    for asked in shelves:
        case.by_hand(operator, asked)
    for asked in shelves:
        status = 200 if case.allowed else 403
        code = "" if case.allowed or asked.it.protocol == "cargo" else CODES[case.rule]
        verdict = (case.allowed, case.rule)
        wanted = {
            "page": case.page,
            "file": (status, code),
            "head": status,
            "metadata": status if asked.it.protocol == "pypi" else None,
            "why": verdict,
            "versions": verdict,
            "resolution": status,
            "lock": status,
        }
        found: dict[str, Any] = {}

        def agrees(
            asked: Asked = asked, wanted: dict[str, Any] = wanted, found: dict[str, Any] = found
        ) -> bool:
            found.clear()
            found.update(asked.said())
            return found == wanted

        try:
            wait_until(agrees, seconds=60, what=name)
        except AssertionError:
            assert (asked.it.protocol, found) == (asked.it.protocol, wanted)
    for asked in shelves[:1]:
        (told, *_) = orchard_command(orchard, "why", purl(asked.it, "2.0.0"))["items"]
        assert (told["allowed"], told["rule"]) == (case.allowed, case.rule)
