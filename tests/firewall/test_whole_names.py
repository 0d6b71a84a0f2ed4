"""A name that is refused with all its versions, and one version of it that is exempt: over all protocols and
representations, whatever refuses the name."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.firewall.asking import ADMIN, answers, ask, post
from tests.firewall.feeds import Folder, await_feed, of_shelf, purl_of, span
from tests.firewall.shelves import OLD, SHELVES, Shelf
from tests.firewall.test_changes import STORED_WAYS
from tests.support.orchard import JSON, Cluster, cluster, wait_until
from tests.support.upstream import Upstream

HTML = "text/html"
ABBREVIATED = "application/vnd.npm.install-v1+json"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def orchard(
    tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, folder: Folder
) -> Iterator[Cluster]:
    settings = {"ORCHARD_OSV_FEEDS": str(folder.path), "ORCHARD_ADMIN_TOKEN": "operators-token-of-tests"}
    with cluster(tmp_path_factory.mktemp("names"), upstream, gateways=2, **settings) as running:
        await_feed(running)
        yield running


def name_of(it: Shelf) -> str:
    return f"org.example:{it.name}" if it.protocol == "maven" else it.name


def by_hand(it: Shelf, _: Folder) -> None:
    post(it.orchard, "blocks", protocol=it.protocol, name=name_of(it), reason="an incident")


def by_malware(it: Shelf, folder: Folder) -> None:
    folder.put(of_shelf(f"MAL-2026-{next(_numbers)}", it, ranges=[span()]))


def by_list(it: Shelf, _: Folder) -> None:
    about = f"protocols = ['{it.protocol}']\nnames = ['{name_of(it)}']"
    post(it.orchard, "policy", policy=f"[[rule]]\nname = 'not this'\n{about}\nrefuse = true", yes=True)


Refuse = Callable[[Shelf, Folder], None]
REFUSALS: dict[str, Refuse] = {"by hand": by_hand, "malware": by_malware, "by list": by_list}


def representations(it: Shelf) -> list[tuple[str, str]]:
    """Paths and what is accepted of all that tells of the project's versions."""
    found = [(it.page, JSON), (it.page, HTML)]
    if it.protocol == "pypi":
        found.append((f"/pypi/pypi/{it.name}/json", JSON))
    if it.protocol == "npm":
        found += [(it.page, ABBREVIATED), (f"{it.page}/latest", JSON)]
    return found


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("kind", SHELVES)
def test_one_version_is_exempt__pages_show_it_alone_and_its_file_alone_is_served(
    orchard: Cluster, upstream: Upstream, folder: Folder, kind: str, refusal: str
) -> None:
    it = SHELVES[kind](orchard, upstream, f"whole-{next(_numbers)}")
    it.put({"1.0.0": OLD, "2.0.0": OLD, "3.0.0": OLD})
    paths = {each: (it.file(each), *it.beside(each)) for each in it.data}
    for path, accept in representations(it) * 2:
        assert answers(it.orchard, path, accept=accept) == {200}, path
    for path in itertools.chain(*paths.values()):
        assert answers(it.orchard, path) == {200}, path

    REFUSALS[refusal](it, folder)
    wait_until(lambda: answers(it.orchard, it.page) == {403}, seconds=60, what="the refusal")
    for path, accept in representations(it):
        assert answers(it.orchard, path, accept=accept) == {403}, path
    for path in itertools.chain(*paths.values()):
        assert answers(it.orchard, path) == {403}, path

    made = post(it.orchard, "exemptions", of=f"{purl_of(it)}@2.0.0", reason="looked at", yes=True)
    wait_until(lambda: answers(it.orchard, it.page) == {200}, what="the exemption")
    for path, accept in representations(it):
        for answer in ask(it.orchard, path, accept=accept):
            assert answer.status_code == 200, path
            assert "2.0.0" in answer.text, path
            assert not any(each in answer.text for each in ("1.0.0", "3.0.0")), (path, answer.text)
    assert it.shown() == ["2.0.0"]
    assert it.newest(it.get(it.page).text) in ("", "2.0.0")
    for path in paths["2.0.0"]:
        assert answers(it.orchard, path) == {200}, path
    for path in (*paths["1.0.0"], *paths["3.0.0"]):
        for way, (method, headers) in STORED_WAYS.items():
            for answer in ask(it.orchard, path, method, **headers):
                assert answer.status_code == 403, (path, way)

    ended = httpx.delete(
        orchard.url(f"/api/v1/admin/exemptions/{made['id']}"), headers=ADMIN, timeout=30, trust_env=False
    )
    assert ended.status_code == 200
    wait_until(lambda: answers(it.orchard, it.page) == {403}, what="its end")
    for path in paths["2.0.0"]:
        assert answers(it.orchard, path) == {403}, path
