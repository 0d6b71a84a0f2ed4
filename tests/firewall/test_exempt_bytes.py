"""Bytes that are exempt by their SHA256: served by every way, whatever else refuses their version or its
name, over all protocols."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.firewall.asking import ADMIN, answers, ask, post
from tests.firewall.feeds import Folder, await_feed, of_shelf, span
from tests.firewall.shelves import OLD, SHELVES, YOUNG, Shelf
from tests.firewall.test_changes import STORED_WAYS
from tests.firewall.test_rules import name_of
from tests.support.orchard import JSON, Cluster, cluster, wait_until
from tests.support.upstream import Upstream

Refuse = Callable[[list[Shelf], Folder], None]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def orchard(
    tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, folder: Folder
) -> Iterator[Cluster]:
    settings = {"ORCHARD_OSV_FEEDS": str(folder.path), "ORCHARD_ADMIN_TOKEN": "operators-token-of-tests"}
    with cluster(tmp_path_factory.mktemp("bytes"), upstream, gateways=2, **settings) as running:
        await_feed(running)
        yield running


def new(orchard: Cluster, upstream: Upstream, kind: str) -> Shelf:
    it = SHELVES[kind](orchard, upstream, f"bytes-{next(_numbers)}")
    it.put({"1.0.0": OLD, "2.0.0": YOUNG})
    return it


def shown(it: Shelf) -> list[list[str] | int]:
    """The page of each gateway."""
    return [
        it.listed(each.text) if each.status_code == 200 else each.status_code
        for each in ask(it.orchard, it.page, accept=JSON)
    ]


def block_name(it: Shelf) -> None:
    post(it.orchard, "blocks", protocol=it.protocol, name=name_of(it), reason="no")


def block_version(it: Shelf) -> None:
    post(it.orchard, "blocks", protocol=it.protocol, name=name_of(it), version=two(it), reason="no")


def two(it: Shelf) -> str:
    """The newer version, canonical."""
    return "2" if it.protocol == "pypi" else "2.0.0"


def each_by_hand(refuse: Callable[[Shelf], None]) -> Refuse:
    def all_of(them: list[Shelf], folder: Folder) -> None:
        for it in them:
            refuse(it)

    return all_of


def malware(them: list[Shelf], folder: Folder) -> None:
    folder.put(*(of_shelf(f"MAL-2026-{next(_numbers)}", it, versions=["2.0.0"]) for it in them))


def all_malware(them: list[Shelf], folder: Folder) -> None:
    folder.put(*(of_shelf(f"MAL-2026-{next(_numbers)}", it, ranges=[span()]) for it in them))


def by_rules(asks: Callable[[Shelf], str]) -> Refuse:
    def apply(them: list[Shelf], folder: Folder) -> None:
        rules = [f"[[rule]]\nname = 'no {it.name}, {it.protocol}'\n{asks(it)}\n" for it in them]
        post(them[0].orchard, "policy", policy="\n".join(rules), yes=True)

    return apply


def by_name(it: Shelf) -> str:
    return f"protocols = ['{it.protocol}']\nnames = ['{name_of(it)}']\nrefuse = true"


def by_age(it: Shelf) -> str:
    about = f"protocols = ['{it.protocol}']\nnames = ['{name_of(it)}']"
    return f"{about}\nminimum_age = '7d'\nbegan = '2020-01-01'"


def by_condition(it: Shelf) -> str:
    condition = f'name == "{name_of(it)}" && version == "{two(it)}"'
    return f"when = '''{condition}'''\nbegan = '2020-01-01'"


BOTH = ["1.0.0", "2.0.0"]
REFUSALS: dict[str, tuple[Refuse, list[str] | int]] = {
    "a block of the name": (each_by_hand(block_name), 403),
    "a block of the version": (each_by_hand(block_version), BOTH),
    "malware": (malware, BOTH),
    "all malware": (all_malware, 403),
    "an allow list": (by_rules(by_name), 403),
    "an age": (by_rules(by_age), BOTH),
    "a condition": (by_rules(by_condition), BOTH),
}
"""And the page once the bytes are exempt: of a name that is refused there is none."""


class Stocked:
    """A package of two versions, both stored, and all ways to the newer one."""

    def __init__(self, it: Shelf) -> None:
        self.it = it
        self.file, self.versions = it.file("2.0.0"), it.beside("2.0.0")
        self.documents = [each for each in self.versions if it.protocol == "npm"]  # which are of pages
        self.files = [self.file, *(each for each in self.versions if each not in self.documents)]
        for path in (it.page, it.file("1.0.0"), *self.files, *self.documents) * 2:
            assert answers(it.orchard, path) == {200}, path
        installed = [each for each in self.files if each == self.file or each.endswith(".pom")]
        self.digests = [hashlib.sha256(ask(it.orchard, each)[0].content).hexdigest() for each in installed]
        if it.data["1.0.0"] != it.data["2.0.0"]:  # else the bytes are of a version that may be served, too
            self.files += [f"/cas/sha256/{each}" for each in self.digests]

    def refusals(self) -> dict[str, set[int]]:
        """What is answered by the ways, where that is no refusal."""
        found = {
            f"{way} {path}": {each.status_code for each in ask(self.it.orchard, path, method, **headers)}
            for path in (*self.files, *self.documents)
            for way, (method, headers) in STORED_WAYS.items()
        }
        return {each: statuses for each, statuses in found.items() if statuses != {403}}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_exempt_bytes__every_way_serves_them_and_the_others_stay_refused(
    orchard: Cluster, upstream: Upstream, folder: Folder, refusal: str
) -> None:
    refuse, page = REFUSALS[refusal]
    stock = [Stocked(new(orchard, upstream, kind)) for kind in SHELVES]
    refuse([each.it for each in stock], folder)
    for each in stock:
        wait_until(lambda each=each: answers(each.it.orchard, each.file) == {403}, seconds=60, what=refusal)
        assert not each.refusals(), refusal

    made = [
        post(each.it.orchard, "exemptions", of=digest, reason="ours", yes=True)["id"]
        for each in stock
        for digest in each.digests
    ]
    for each in stock:
        wait_until(lambda each=each: shown(each.it) == [page] * 2, seconds=60, what=f"the page, {each.file}")
    with orchard.client(orchard.cache) as cache:
        cache.flushall()  # so that no gateway has read the files' rows yet
    for each in stock:
        hidden = set(each.documents) if page == 403 else set()
        for again in (False, True):
            for path in (*each.files, *each.documents):
                wanted = {403} if path in hidden else {200, 206, 304}
                for way, (method, headers) in STORED_WAYS.items():
                    found = {answer.status_code for answer in ask(each.it.orchard, path, method, **headers)}
                    assert found <= wanted, (path, way, again, found)
            for answer in ask(each.it.orchard, each.file):
                assert answer.content == each.it.data["2.0.0"]
        if page == 403 and each.it.data["1.0.0"] != each.it.data["2.0.0"]:
            assert answers(each.it.orchard, each.it.file("1.0.0")) == {403}

    for number in made:
        gone = httpx.delete(
            orchard.url(f"/api/v1/admin/exemptions/{number}"), headers=ADMIN, timeout=30, trust_env=False
        )
        assert gone.status_code == 200
    for each in stock:
        wait_until(lambda each=each: answers(each.it.orchard, each.file) == {403}, what="its end")
        assert not each.refusals(), refusal


TOLD = ("pypi", "cargo")
"""Protocols of which an address, or the list of versions, tells the SHA256 of a file."""


@pytest.mark.parametrize("refusal", REFUSALS)
def test_exempt_bytes_that_are_not_stored__are_served_where_an_index_tells_them(
    orchard: Cluster, upstream: Upstream, folder: Folder, refusal: str
) -> None:
    refuse, page = REFUSALS[refusal]
    them = [new(orchard, upstream, kind) for kind in SHELVES]
    for it in them:
        assert "2.0.0" in it.shown()  # and so its list is known
    refuse(them, folder)
    for it in them:
        wait_until(lambda it=it: shown(it) != [BOTH, BOTH], seconds=60, what=refusal)
        digest = hashlib.sha256(it.data["2.0.0"]).hexdigest()
        post(it.orchard, "exemptions", of=digest, reason="ours", yes=True)["id"]
    for it in them:
        path, is_told = it.file("2.0.0"), it.protocol in TOLD
        if is_told and page != 403:
            wait_until(lambda it=it: shown(it) == [BOTH, BOTH], seconds=60, what="the page")
        wanted = {200} if is_told else {403}
        heads = {each.status_code for each in ask(it.orchard, path, "HEAD")}
        beside = [answers(it.orchard, each) for each in it.beside("2.0.0") if it.protocol == "pypi"]
        bodies = [each.content == it.data["2.0.0"] for each in ask(it.orchard, path)]
        assert (heads, beside, bodies) == (wanted, [wanted] * len(beside), [is_told] * 2), path
        assert is_told or it.protocol == "maven" or it.asked("2.0.0") == 0
