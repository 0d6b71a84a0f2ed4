"""`/v/build-{id}/`: what a session got is what its replay gives, byte for byte, and nothing else; over all
protocols."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.firewall.feeds import purl_of
from tests.firewall.shelves import DAY, SHELVES, Shelf, moment
from tests.support.gateway import RawResponse, raw_request
from tests.support.maven_builders import build_jar
from tests.support.orchard import JSON, Cluster, wait_until
from tests.views.conftest import ADMIN, NewShelf

kinds = pytest.mark.parametrize("kind", SHELVES)
AGES = {"1.0.0": 300 * DAY, "2.0.0": 100 * DAY}
ACCEPT = {"accept": JSON, "accept-encoding": "gzip", "x-request-id": "one-and-the-same"}
WHOLE = ("etag", "content-type", "content-encoding", "content-length", "last-modified")


@dataclass
class Build:
    """One session, and all that was asked in it."""

    orchard: Cluster
    told: dict[str, Any]
    got: dict[tuple[str, str], RawResponse] = field(default_factory=dict)

    @property
    def view(self) -> str:
        return f"/v/build-{self.told['id']}"

    def ask(self, path: str, method: str = "GET", **headers: str) -> RawResponse:
        return raw_request(
            self.orchard.gateway.port, self.view + path, method, {**ACCEPT, **headers}, timeout=60
        )

    def get(self, path: str) -> RawResponse:
        answer = self.got["GET", path] = self.ask(path)
        return answer

    def call(self, what: str = "", method: str = "GET") -> httpx.Response:
        address = self.orchard.url(f"/api/v1/builds/{self.told['id']}{what}")
        return httpx.request(method, address, headers=ADMIN, trust_env=False, timeout=60)

    def seal(self) -> dict[str, Any]:
        answer = self.call("/seal", "POST")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


NewBuild = Callable[..., Build]


@pytest.fixture
def build(orchard: Cluster) -> NewBuild:
    """Start a session."""

    def start(**body: str) -> Build:
        made = httpx.post(orchard.url("/api/v1/builds"), json=body, headers=ADMIN, trust_env=False)
        assert made.status_code == 201, made.text
        return Build(orchard, made.json())

    return start


def paths_of(it: Shelf) -> list[str]:
    """All that a client asks of a package, and something that nobody has."""
    paths = [it.page, *(path for each in it.data for path in (it.file(each), *it.beside(each)))]
    if it.protocol == "cargo":
        paths.insert(0, "/cargo/config.json")
    return [*paths, it.page.replace(it.name, f"{it.name}-gone"), it.file("1.0.0").replace("1.0.0", "9.9.9")]


def cut_off(it: Shelf) -> None:
    """The registry has other things by now: a new version, other bytes under the old names."""
    old = dict(it.data)
    it.data = {}
    it.put({"1.0.0": 300 * DAY, "2.0.0": 100 * DAY, "3.0.0": DAY})
    it.data = {**it.data, **old}


@kinds
def test_sealed__every_answer_again_byte_for_byte_and_nobody_is_asked(
    shelf: NewShelf, build: NewBuild, kind: str
) -> None:
    it = shelf(kind)
    it.put(AGES)
    session = build(name="app")
    assert session.told["base"].endswith(session.view)
    for path in paths_of(it):
        for _ in range(2):  # cold, then as hot as it gets
            session.get(path)
    sealed = session.seal()
    assert (sealed["state"], sealed["missing"]) == ("sealed", [])
    assert sealed["pages"] >= 1 and sealed["files"] >= 2 and sealed["absent"] >= 2
    assert session.seal() == sealed  # again the same
    cut_off(it)
    with it.orchard.client(it.orchard.cache) as cache:
        cache.flushall()
    asked = it.upstream.count()
    for _ in range(2):
        for (method, path), first in session.got.items():
            again = session.ask(path, method)
            assert (again.status, again.body) == (first.status, first.body), path
            if first.status == 200:
                told = {name: first.headers.get(name) for name in WHOLE}
                assert {name: again.headers.get(name) for name in WHOLE} == told, path
    assert it.upstream.count() == asked
    file = it.file("1.0.0")
    part = session.ask(file, range="bytes=5-9")
    assert (part.status, part.body) == (206, it.data["1.0.0"][5:10])
    head = session.ask(file, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert session.ask(file, **{"if-none-match": head.headers["etag"]}).status == 304


@kinds
def test_sealed__what_was_not_asked_for_fails_by_name(shelf: NewShelf, build: NewBuild, kind: str) -> None:
    it, other = shelf(kind), shelf(kind)
    for each in (it, other):
        each.put(AGES)
    session = build()
    session.get(it.page)
    session.get(it.file("1.0.0"))
    assert session.ask(other.file("2.0.0"), "HEAD").status == 200
    missing = session.seal()["missing"]
    asked = it.upstream.count()
    never, nobody = b"its bytes never came", b"nobody asked for it"
    paths = {it.file("2.0.0"): nobody, other.page: nobody, other.file("1.0.0"): nobody}
    if missing:  # where HEAD is answered without the file
        paths[other.file("2.0.0")] = never
    for path, why in paths.items():
        answer = session.ask(path)
        assert (answer.status, answer.headers["x-orchard-error"]) == (404, "not_in_view"), path
        assert session.told["id"].encode() in answer.body and why in answer.body
    assert missing or it.protocol == "maven"
    assert it.upstream.count() == asked


@kinds
def test_sealed__a_page_of_it_is_lost__503_and_never_as_if_nobody_had_asked(
    shelf: NewShelf, build: NewBuild, kind: str
) -> None:
    it = shelf(kind)
    it.put(AGES)
    session = build()
    session.get(it.page)
    session.seal()
    for _ in range(3):  # as hot as it gets
        assert session.ask(it.page).status == 200
    (page,) = [each for each in session.call().json()["items"] if each["kind"] == "page"]
    for path in (it.orchard.folder / "data" / "objects").rglob(f"*{page['sha256']}*"):
        path.unlink()
    answer = session.ask(it.page)
    assert (answer.status, answer.headers["x-orchard-error"]) == (503, "store_unavailable"), answer.body


def test_snapshot__replayed_as_it_was_then(shelf: NewShelf, build: NewBuild) -> None:
    it = shelf("maven")
    it.put(AGES)
    path = f"/maven/org/example/{it.name}/3.0-SNAPSHOT/{it.name}-3.0-SNAPSHOT.jar"
    it.upstream.put(path, build_jar("then"))
    session = build()
    assert session.get(path).body == build_jar("then")
    session.seal()
    it.upstream.put(path, build_jar("now"))
    assert session.ask(path).body == build_jar("then")
    assert session.call().json()["files"] == 1


@kinds
def test_session_of_a_moment__sees_what_was_there(shelf: NewShelf, build: NewBuild, kind: str) -> None:
    it = shelf(kind)
    it.put(AGES)
    session = build(at=moment(200 * DAY))
    first = session.get(it.page)
    assert first.status == 200
    plain = it.get(f"/v/{session.told['at']}{it.page}").text
    assert it.listed(plain) == ["1.0.0"]
    young = session.get(it.file("2.0.0"))
    assert young.status == 404
    assert session.get(it.file("1.0.0")).body == it.data["1.0.0"]
    session.seal()
    for (_, path), each in session.got.items():
        again = session.ask(path)
        assert (again.status, again.body) == (each.status, each.body), path


@pytest.fixture
def apply(orchard: Cluster) -> Iterator[Callable[[str], None]]:
    """Put a policy file in force; none at the end."""

    def put(text: str) -> None:
        body = {"policy": text, "yes": True}
        address = orchard.url("/api/v1/admin/policy")
        answer = httpx.post(address, json=body, headers=ADMIN, trust_env=False, timeout=30)
        assert answer.status_code == 200, answer.text

    yield put
    put("")


@kinds
def test_rule_that_came_later__each_file_is_judged_when_it_is_asked_for(
    shelf: NewShelf, build: NewBuild, apply: Callable[[str], None], kind: str
) -> None:
    """Nobody asks for it outside the build, and nobody asks the registry for it."""
    it = shelf(kind)
    it.put(AGES)
    session = build()
    files = {version: it.file(version) for version in AGES}
    for path in (it.page, *files.values()):
        assert session.get(path).status == 200
    session.seal()
    for path in [it.file(version) for version in it.data] * 3:  # as hot as it gets
        assert session.ask(path).status == 200
    name = f"org.example:{it.name}" if it.protocol == "maven" else it.name
    two = "2" if it.protocol == "pypi" else "2.0.0"
    asked = [it.asked(version) for version in AGES]
    rule = f"""name == "{name}" && version == "{two}\""""
    apply(f"[[rule]]\nname = 'no two'\nwhen = '''{rule}'''\nbegan = '2020-01-01'\n")
    wait_until(lambda: session.ask(files["2.0.0"]).status == 403, seconds=60, what="the rule")
    assert b"no two: its condition holds" in session.ask(files["2.0.0"]).body
    again, first = session.ask(files["1.0.0"]), session.got["GET", files["1.0.0"]]
    assert (again.status, again.body) == (200, first.body)
    told = [each["refused"] for each in session.call().json()["items"] if each["kind"] == "file"]
    assert told.count("") == 1 and "no two: its condition holds" in "".join(told)
    apply("")
    wait_until(lambda: session.ask(files["2.0.0"]).status == 200, seconds=60, what="the rule's end")
    assert [it.asked(version) for version in AGES] == asked


@kinds
def test_blocked_later__refused_in_the_replay_and_named(shelf: NewShelf, build: NewBuild, kind: str) -> None:
    it = shelf(kind)
    it.put(AGES)
    session = build()
    for version in it.data:
        session.get(it.file(version))
    page = session.get(it.page)
    told = session.call().json()["items"]
    if it.protocol != "npm":  # whose pages hold addresses, which are kept without host and scheme
        digests = [each["sha256"] for each in told if each["kind"] == "page"]
        assert digests == [hashlib.sha256(page.body).hexdigest()]
    session.seal()
    for path in [it.file(version) for version in it.data] * 3:  # as hot as it gets
        assert session.ask(path).status == 200
    name = f"org.example:{it.name}" if it.protocol == "maven" else it.name
    block = {"protocol": it.protocol, "name": name, "version": "1.0.0", "reason": "it steals"}
    made = httpx.post(it.orchard.url("/api/v1/admin/blocks"), json=block, headers=ADMIN, trust_env=False)
    assert made.status_code == 201
    assert session.ask(it.file("1.0.0")).status == 403
    assert session.ask(it.file("2.0.0")).status == 200
    items = session.call().json()["items"]
    assert [bool(each["refused"]) for each in items if each["kind"] == "file"].count(True) == 1
    assert not any(each["refused"] for each in items if each["kind"] == "page")
    block["version"] = ""
    made = httpx.post(it.orchard.url("/api/v1/admin/blocks"), json=block, headers=ADMIN, trust_env=False)
    assert made.status_code == 201
    assert session.ask(it.page).status == 403
    assert all(each["refused"] for each in session.call().json()["items"])


def test_page_that_changed_while_it_was_recorded__the_later_one_counts(
    shelf: NewShelf, build: NewBuild
) -> None:
    it = shelf("cargo")
    session = build()
    assert session.get(it.page).status == 404
    it.put(AGES)
    httpx.post(
        it.orchard.url("/api/v1/admin/cache/invalidate"),
        json={"protocol": it.protocol, "project": it.name},
        headers=ADMIN,
        trust_env=False,
    )
    last = session.get(it.page)
    assert last.status == 200
    session.seal()
    assert session.ask(it.page).body == last.body


def test_checksum_alone__is_replayed_without_the_file_that_nobody_asked_for(
    shelf: NewShelf, build: NewBuild
) -> None:
    it = shelf("maven")
    it.put(AGES)
    alone, both = build(), build()
    wanted = it.file("1.0.0")
    checksum = alone.get(f"{wanted}.sha1")
    assert checksum.status == 200
    for path in (f"{wanted}.sha1", wanted):
        assert both.get(path).status == 200
    assert (alone.seal()["files"], both.seal()["files"]) == (1, 1)
    for session in (alone, both):
        assert session.ask(f"{wanted}.sha1").body == checksum.body
        assert session.ask(f"{wanted}.sha1").status == 200
    refused = alone.ask(wanted)
    assert (refused.status, b"is not in the build" in refused.body) == (404, True)
    assert both.ask(wanted).body == both.got["GET", wanted].body
    assert alone.call().json()["items"][0]["name"].endswith("#sha1")


@kinds
def test_range_past_a_files_end_and_absent_page__replayed_as_they_were(
    shelf: NewShelf, build: NewBuild, kind: str
) -> None:
    it, gone = shelf(kind), shelf(kind)
    it.put(AGES)
    assert it.get(it.file("1.0.0")).status_code == 200
    session = build()
    asked = {it.file("1.0.0"): {"range": "bytes=99999999-"}, gone.page: {}}
    first = {path: session.ask(path, **headers) for path, headers in asked.items()}
    assert [each.status for each in first.values()] == [416, 404]
    session.seal()
    for path, headers in asked.items():
        again = session.ask(path, **headers)
        for name in ("content-range", "vary"):
            assert again.headers.get(name) == first[path].headers.get(name), (path, name)
        assert again.status == first[path].status, path


@pytest.mark.parametrize("suffix", ["", ".sha1"])
def test_absent_at_first__what_came_later_counts(shelf: NewShelf, build: NewBuild, suffix: str) -> None:
    it = shelf("maven")
    session, path = build(), it.file("1.0.0") + suffix
    assert session.get(path).status == 404
    it.put(AGES)
    httpx.post(
        it.orchard.url("/api/v1/admin/cache/invalidate"),
        json={"protocol": it.protocol, "project": f"org.example:{it.name}"},
        headers=ADMIN,
        trust_env=False,
    )
    last = session.get(path)
    assert last.status == 200
    sealed = session.seal()
    assert (sealed["files"], sealed["absent"]) == (1, 0)
    again = session.ask(path)
    assert (again.status, again.body) == (200, last.body)


@kinds
def test_page_evicted_and_only_asked_whether_it_changed__its_bytes_are_recorded(
    shelf: NewShelf, build: NewBuild, kind: str
) -> None:
    it = shelf(kind)
    it.put(AGES)
    before = build()
    first = before.get(it.page)
    for conditions in ({"if-none-match": first.headers["etag"]}, {"method": "HEAD"}):
        with it.orchard.client(it.orchard.cache) as cache:
            bodies = [
                key
                for key in cache.keys("orchard:package_index:*")
                if it.name.encode() in key and b":v:" in key
            ]
            assert bodies and cache.delete(*bodies)
        session = build()
        assert session.ask(it.page, **conditions).status in (200, 304)
        session.seal()
        again = session.ask(it.page)
        ids = (each.told["id"].encode() for each in (session, before))
        assert (again.status, again.body.replace(*ids)) == (200, first.body)


def test_two_builds__neither_knows_of_the_other(shelf: NewShelf, build: NewBuild) -> None:
    it = shelf("pypi")
    it.put(AGES)
    one, two = build(), build()
    one.get(it.page)
    two.get(it.file("1.0.0"))
    for each in (one, two):
        each.seal()
    assert (one.ask(it.page).status, one.ask(it.file("1.0.0")).status) == (200, 404)
    assert (two.ask(it.page).status, two.ask(it.file("1.0.0")).status) == (404, 200)
    kinds_of = [[each["kind"] for each in session.call().json()["items"]] for session in (one, two)]
    assert kinds_of == [["page"], ["file"]]


def test_show__names_what_was_got_by_digest_and_by_whom(shelf: NewShelf, build: NewBuild) -> None:
    it = shelf("npm")
    it.put(AGES)
    session = build(name="app")
    assert session.ask(it.file("1.0.0"), **ADMIN).status == 200
    answer = session.get(it.file("1.0.0"))
    told = session.call().json()
    (item,) = told["items"]
    assert (told["name"], told["state"], told["files"]) == ("app", "open", 1)
    assert item["sha256"] == answer.headers["etag"].strip('"')
    assert item["size_bytes"] == len(it.data["1.0.0"])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v/build-" + "a" * 32 + "/pypi/simple/x/", 404),
        ("/v/build-x/pypi/simple/x/", 404),
        ("/v/build-" + "A" * 32 + "/pypi/simple/x/", 404),
        ("/api/v1/builds/" + "a" * 32, 404),
        ("/api/v1/builds/x", 404),
    ],
)
def test_build_that_nobody_started__404(orchard: Cluster, path: str, status: int) -> None:
    assert orchard.get(path).status_code == status


@pytest.mark.parametrize("body", [{"at": "yesterday"}, {"name": "x" * 200}, {"name": "a\nb"}, {"policy": 1}])
def test_build_that_cannot_be__400(orchard: Cluster, body: dict[str, Any]) -> None:
    answer = httpx.post(orchard.url("/api/v1/builds"), json=body, headers=ADMIN, trust_env=False)
    assert answer.status_code == 400


def test_removed__answers_no_more_open_or_sealed(shelf: NewShelf, build: NewBuild, orchard: Cluster) -> None:
    it = shelf("pypi")
    it.put(AGES)
    recorded, sealed = build(), build()
    for each in (recorded, sealed):
        each.get(it.page)
    sealed.get(it.page)  # hot, while it is recorded
    sealed.seal()
    for _ in range(3):
        assert sealed.ask(it.page).status == 200
    for each in (recorded, sealed):
        address = orchard.url(f"/api/v1/admin/builds/{each.told['id']}")
        assert httpx.delete(address, trust_env=False).status_code == 401
        assert httpx.delete(address, headers=ADMIN, trust_env=False).status_code == 200
        assert httpx.delete(address, headers=ADMIN, trust_env=False).status_code == 404
        assert each.call().status_code == 404
        assert each.ask(it.file("1.0.0")).status == 404
        assert each.ask(it.page).status == 404
    audit = httpx.get(orchard.url("/api/v1/admin/audit"), headers=ADMIN, trust_env=False).json()["items"]
    assert ("build.delete", sealed.told["id"]) in {(each["action"], each["subject"]) for each in audit}


def test_list__operators_alone(shelf: NewShelf, build: NewBuild, orchard: Cluster) -> None:
    one, two = build(name="one"), build(name="two")
    one.seal()
    address = orchard.url("/api/v1/admin/builds")
    told = httpx.get(address, headers=ADMIN, trust_env=False).json()["items"]
    states = {each["id"]: each["state"] for each in told}
    assert (states[one.told["id"]], states[two.told["id"]]) == ("sealed", "open")
    assert httpx.get(address, trust_env=False).status_code in (401, 403)


def test_list__goes_on_to_the_last_each_once(build: NewBuild, orchard: Cluster) -> None:
    made = [build() for _ in range(5)]
    for each in made[:-1]:
        each.seal()
    address = orchard.url("/api/v1/admin/builds")

    def page(cursor: str) -> tuple[list[str], str]:
        params = {"limit": "2", "cursor": cursor}
        told = httpx.get(address, params=params, headers=ADMIN, trust_env=False)
        assert told.status_code == 200, told.text
        return [each["id"] for each in told.json()["items"]], told.json()["next"]

    first, cursor = page("")
    assert made[-1].told["id"] in first, "those that are recorded stand on the first page"
    found = [*first]
    while cursor:
        more, cursor = page(cursor)
        assert 1 <= len(more) <= 2
        found += more
    assert len(found) == len(set(found)) and {each.told["id"] for each in made} <= set(found)
    sealed = [each for each in found if each in {made.told["id"] for made in made[:-1]}]
    assert sealed == [each.told["id"] for each in reversed(made[:-1])]
    assert httpx.get(address, params={"cursor": "x"}, headers=ADMIN, trust_env=False).status_code == 400


@kinds
def test_who_has__names_the_sealed_builds_that_hold_it_and_no_others(
    orchard: Cluster, shelf: NewShelf, build: NewBuild, kind: str
) -> None:
    it, held, other = shelf(kind), build(), build()
    it.put(AGES)
    for made, version in ((held, "2.0.0"), (other, "1.0.0")):
        assert made.get(it.page).status == 200
        assert made.get(it.file(version)).status == 200
        made.seal()

    def builds(of: str) -> set[str]:
        address = orchard.url("/api/v1/admin/who-has")
        answer = httpx.get(address, params={"of": of}, headers=ADMIN, trust_env=False, timeout=60)
        assert answer.status_code == 200, answer.text
        named = [each for each in answer.json()["named_by"] if each["kind"] == "build"]
        for each in named:
            path = orchard.url(each["path"])
            assert httpx.get(path, headers=ADMIN, trust_env=False, timeout=60).status_code == 200
        return {each["key"] for each in named}

    ids = [held.told["id"], other.told["id"]]
    assert builds(purl_of(it)) == set(ids)
    if it.data["1.0.0"] != it.data["2.0.0"]:  # else both builds hold the bytes
        assert builds(f"{purl_of(it)}@2.0.0") == {ids[0]}
        assert builds(hashlib.sha256(it.data["1.0.0"]).hexdigest()) == {ids[1]}
