"""`orchard bundle` and `orchard import`: a build of one Orchard answers in another as it answered there."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tests.bundles.conftest import ADMIN, KEY, TOKEN, NewShelf, bundle, command
from tests.firewall.shelves import SHELVES
from tests.support.orchard import JSON, Cluster, cluster, wait_until
from tests.support.upstream import Upstream
from tests.views.test_builds import AGES, WHOLE, Build, paths_of
from tests.views.test_lock import ensured, table

pytestmark = pytest.mark.timeout(300)  # the first to run starts two Orchards


def recorded(orchard: Cluster, *paths: str) -> Build:
    """A sealed build that asked for these."""
    made = httpx.post(orchard.url("/api/v1/builds"), json={"name": "app"}, headers=ADMIN, trust_env=False)
    assert made.status_code == 201, made.text
    build = Build(orchard, made.json())
    for path in (*paths, *paths):  # cold, then as hot as it gets
        build.get(path)
    build.seal()
    return build


def same_there(build: Build, there: Cluster) -> None:
    """Every answer again, byte for byte, with the headers that tell of its bytes."""
    elsewhere = Build(there, build.told)
    host = build.orchard.gateway.base.removeprefix("http://")  # links follow it
    for (method, path), first in build.got.items():
        again = elsewhere.ask(path, method, host=host)
        assert (again.status, again.body) == (first.status, first.body), path
        if first.status == 200:
            told = {name: first.headers.get(name) for name in WHOLE}
            assert {name: again.headers.get(name) for name in WHOLE} == told, path


def test_build_of_all_protocols__imported__answers_as_it_did_and_its_files_are_stored(
    orchard: Cluster, there: Cluster, shelf: NewShelf, tmp_path: Path
) -> None:
    shelves = [shelf(kind) for kind in SHELVES]
    for it in shelves:
        it.put(AGES)
    build = recorded(orchard, *(path for it in shelves for path in paths_of(it)))
    file = tmp_path / "app.bundle"
    told = bundle(orchard, build, file)
    assert (told["key"], told["left_out"]) == (KEY, 0)
    assert told["size_bytes"] == file.stat().st_size
    assert list(tmp_path.iterdir()) == [file]
    assert "which nobody here has trusted" in command(there, "import", str(file), exit_code=1)
    assert Build(there, build.told).ask(shelves[0].page).status == 404
    done = json.loads(command(there, "import", str(file), "--trust", KEY, "--json"))
    assert (done["id"], done["new"]) == (build.told["id"], True)
    same_there(build, there)
    asked = build.orchard.upstream.count()
    wheel = shelves[0].data["1.0.0"]
    digest = build.got["GET", shelves[0].file("1.0.0")].headers["etag"].strip('"')
    assert there.get(f"/cas/sha256/{digest}").content == wheel
    assert build.orchard.upstream.count() == asked
    assert "is here already: nothing changed" in command(there, "import", str(file))
    (lost,) = (there.folder / "data" / "objects").rglob(digest)
    lost.unlink()
    assert there.get(f"/v/build-{build.told['id']}{shelves[0].file('1.0.0')}").status_code == 503
    assert "1 lost object(s) of it restored" in command(there, "import", str(file))
    same_there(build, there)
    block = {"protocol": shelves[0].protocol, "name": shelves[0].name, "reason": "it steals"}
    made = httpx.post(there.url("/api/v1/admin/blocks"), json=block, headers=ADMIN, trust_env=False)
    assert made.status_code == 201
    for path in (f"/v/build-{build.told['id']}{shelves[0].file('1.0.0')}", f"/cas/sha256/{digest}"):
        assert there.get(path).status_code == 403


RULES = {
    "minimum_age = '1d'": {200, 403},
    "when = 'size_bytes > 100000000'": {200},
    "licences = {deny = ['AGPL-3.0-only']}": {200, 403},
}


def test_rules_there__judge_what_was_imported_by_what_is_stored_and_ask_no_source(
    orchard: Cluster, shelf: NewShelf, tmp_path: Path
) -> None:
    shelves = [shelf(kind) for kind in SHELVES]
    for it in shelves:
        it.put({"1.0.0": AGES["1.0.0"]})
    paths = [path for it in shelves for path in (it.page, it.file("1.0.0"))]
    build = recorded(orchard, *paths)
    bundle(orchard, build, tmp_path / "app.bundle")
    with Upstream() as other, cluster(tmp_path / "there", other, ORCHARD_ADMIN_TOKEN=TOKEN) as there:
        command(there, "import", str(tmp_path / "app.bundle"), "--trust", KEY)
        asked, elsewhere = other.count(), Build(there, build.told)
        for rule, statuses in RULES.items():
            policy = {"policy": f"[[rule]]\nname = 'r'\n{rule}\n", "yes": True}
            address = there.url("/api/v1/admin/policy")
            applied = httpx.post(address, json=policy, headers=ADMIN, trust_env=False, timeout=30)
            assert applied.status_code == 200, applied.text
            for path in paths:
                answer = elsewhere.ask(path)
                assert answer.status in statuses | {200}, (rule, path, answer.body)
        assert other.count() == asked


def test_statements_and_proofs__come_with_it_and_are_verified_there_by_the_key_alone(
    orchard: Cluster, there: Cluster, shelf: NewShelf, tmp_path: Path
) -> None:
    shelves = [shelf(kind) for kind in SHELVES]
    for it in shelves:
        it.put({"1.0.0": AGES["1.0.0"]})
    build = recorded(orchard, *(path for it in shelves for path in (it.page, it.file("1.0.0"))))
    bundle(orchard, build, tmp_path / "app.bundle")
    command(there, "import", str(tmp_path / "app.bundle"), "--trust", KEY)
    names = []
    for it in shelves:
        names.append(str(tmp_path / it.file("1.0.0").rpartition("/")[2]))
        Path(names[-1]).write_bytes(it.data["1.0.0"])
    asked = orchard.upstream.count()
    told = json.loads(command(there, "verify", *names, "--key", KEY, "--json"))
    for found in told["files"]:
        assert found["log"] == "bundles.example/log" and found["entry"]["kind"] == "admission"
        assert found["statement"]["subject"][0]["digest"]["sha256"] == found["entry"]["digests"]["sha256"]
    assert "integrity verified" in command(there, "statement", names[0], "--key", KEY)
    assert orchard.upstream.count() == asked
    other = KEY.replace("+", "x+", 1)
    assert "not proven" in command(there, "verify", names[0], "--key", other, exit_code=1)
    Path(names[0]).write_bytes(it.data["1.0.0"] + b"x")
    said = command(there, "verify", names[0], "--key", KEY, exit_code=1)
    assert "no bundle of that brought the file" in said


def test_since__only_what_is_new_goes_and_the_log_is_proven_to_go_on(
    orchard: Cluster, there: Cluster, shelf: NewShelf, tmp_path: Path
) -> None:
    it = shelf("pypi")
    it.put(AGES)
    first = recorded(orchard, it.page, it.file("1.0.0"))
    second = recorded(orchard, it.page, it.file("1.0.0"), it.file("2.0.0"))
    one, two, whole = (tmp_path / name for name in ("one", "two", "whole"))
    bundle(orchard, first, one)
    told = bundle(orchard, second, two, "--since", str(one))
    assert told["left_out"] >= 2 and told["objects"] >= 1
    assert "import the bundle first" in command(there, "import", str(two), "--trust", KEY, exit_code=1)
    command(there, "import", str(one), "--trust", KEY)
    command(there, "import", str(two))
    same_there(first, there)
    same_there(second, there)
    other = shelf("pypi")
    other.put(AGES)
    third = recorded(orchard, other.page, other.file("1.0.0"))
    bundle(orchard, third, whole)
    said = command(there, "import", str(whole), exit_code=1)
    assert "--since" in said
    bundle(orchard, third, whole, "--since", str(two))
    command(there, "import", str(whole))


def test_lock__its_view_answers_there_as_here(
    orchard: Cluster, there: Cluster, shelf: NewShelf, tmp_path: Path
) -> None:
    shelves = [shelf(kind) for kind in ("pypi", "npm")]
    for it in shelves:
        it.put(AGES)
    key = ensured(orchard, "".join(table(it, "1.0.0") for it in shelves))["key"]
    file = tmp_path / "lock.bundle"
    command(orchard, "bundle", f"lock-{key}", "-o", str(file))
    told = command(there, "import", str(file), "--trust", KEY)
    assert told.splitlines()[-1] == f"/v/lock-{key}/"
    host = {"host": orchard.gateway.base.removeprefix("http://"), "accept": JSON, "x-request-id": "same"}
    for it in shelves:
        for path in (it.page, it.file("1.0.0"), it.file("2.0.0")):
            address = f"/v/lock-{key}{path}"
            here, far = (each.get(address, headers=host) for each in (orchard, there))
            assert (far.status_code, far.content) == (here.status_code, here.content), path
        assert here.status_code == 404
    assert "is here already" in command(there, "import", str(file))


def test_lock_made_anew__its_bundle_takes_the_place_of_the_one_before_and_can_be_removed(
    orchard: Cluster, there: Cluster, shelf: NewShelf, tmp_path: Path
) -> None:
    it = shelf("pypi")
    it.put({"1.0.0": AGES["1.0.0"]})
    text = f'[pypi]\nrequirements = ["{it.name}"]\n'
    key = ensured(orchard, text)["key"]
    one, two = tmp_path / "one", tmp_path / "two"
    command(orchard, "bundle", f"lock-{key}", "-o", str(one))
    command(there, "import", str(one), "--trust", KEY)

    def listed(of: Cluster) -> list[str]:
        page = of.get(f"/v/lock-{key}{it.page}", headers={"accept": JSON}, timeout=60)
        return it.listed(page.text) if page.status_code == 200 else []

    assert listed(there) == ["1.0.0"]
    it.put(AGES)
    changed = {"protocol": it.protocol, "project": it.name}
    address = orchard.url("/api/v1/admin/cache/invalidate")
    httpx.post(address, json=changed, headers=ADMIN, trust_env=False)
    assert ensured(orchard, text, "?refresh=true")["key"] == key
    wait_until(lambda: listed(orchard) == ["2.0.0"], seconds=60, what="the new lock")
    command(orchard, "bundle", f"lock-{key}", "-o", str(two), "--since", str(one))
    assert json.loads(command(there, "import", str(two), "--json"))["new"]
    wait_until(lambda: listed(there) == ["2.0.0"], seconds=60, what="the new lock, there")
    assert "a checkpoint of" in command(there, "import", str(one), exit_code=1)
    told = command(there, "build", "remove", f"lock-{key}")
    assert f"{key} is removed" in told
    assert there.get(f"/v/lock-{key}{it.page}").status_code == 404


def test_bundle__the_ledger_tells_which_files_went_out_in_it(
    orchard: Cluster, shelf: NewShelf, tmp_path: Path
) -> None:
    it = shelf("npm")
    it.put(AGES)
    build = recorded(orchard, it.page, it.file("1.0.0"))
    first, second = tmp_path / "one", tmp_path / "two"
    bundle(orchard, build, first)
    bundle(orchard, build, second, "--since", str(first))  # nothing goes out in it that was not there

    def noted() -> int:
        address = orchard.url("/api/v1/admin/servings")
        told = httpx.get(address, params={"limit": 5000}, headers=ADMIN, trust_env=False, timeout=30).json()
        return sum(each["times"] for each in told["items"] if each["project"] == it.name)

    wait_until(lambda: noted() >= 3, seconds=60, what="two downloads and a bundle")
    assert orchard.get(it.file("1.0.0")).status_code == 200
    wait_until(lambda: noted() >= 4, seconds=60, what="the last download")
    assert noted() == 4


@pytest.mark.parametrize("what", ["page", "file"])
def test_blocked_here__no_bundle_and_the_reason(
    orchard: Cluster, shelf: NewShelf, tmp_path: Path, what: str
) -> None:
    it = shelf("npm")
    it.put(AGES)
    build = recorded(orchard, it.page if what == "page" else it.file("1.0.0"))
    block = {"protocol": it.protocol, "name": it.name, "reason": "it steals"}
    made = httpx.post(orchard.url("/api/v1/admin/blocks"), json=block, headers=ADMIN, trust_env=False)
    assert made.status_code == 201
    file = tmp_path / "it"
    said = command(orchard, "bundle", build.told["id"], "-o", str(file), exit_code=1)
    assert "it steals" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"build": "a" * 32}, 404),
        ({"build": "../x"}, 404),
        ({"build": "lock-" + "0" * 64}, 404),
        ({"build": "a" * 32, "have": ["x"]}, 400),
        ({"build": "a" * 32, "since": -1}, 400),
        ({"build": "a" * 32, "since": 1 << 64}, 400),
        ({"build": "a" * 32, "more": 1}, 400),
        ({}, 400),
    ],
)
def test_bundle_of_nothing__refused(orchard: Cluster, body: dict[str, object], status: int) -> None:
    answer = httpx.post(orchard.url("/api/v1/bundles"), json=body, headers=ADMIN, trust_env=False)
    assert answer.status_code == status


def test_build_that_is_recorded__no_bundle(orchard: Cluster) -> None:
    made = httpx.post(orchard.url("/api/v1/builds"), json={}, headers=ADMIN, trust_env=False).json()
    answer = httpx.post(
        orchard.url("/api/v1/bundles"), json={"build": made["id"]}, headers=ADMIN, trust_env=False
    )
    assert (answer.status_code, answer.json()["code"]) == (404, "build_not_found")


def test_object_that_decayed__the_transfer_ends_before_its_end_and_nothing_is_written(
    orchard: Cluster, shelf: NewShelf, tmp_path: Path
) -> None:
    it = shelf("pypi")
    it.put(AGES)
    build = recorded(orchard, it.file("1.0.0"))
    digest = build.got["GET", it.file("1.0.0")].headers["etag"].strip('"')
    path = orchard.folder / "data" / "objects" / "artifacts" / digest[:2] / digest
    right = path.read_bytes()
    path.write_bytes(bytes([right[0] ^ 1]) + right[1:])
    file = tmp_path / "it"
    command(orchard, "bundle", build.told["id"], "-o", str(file), exit_code=1)
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(right)
    bundle(orchard, build, file)
