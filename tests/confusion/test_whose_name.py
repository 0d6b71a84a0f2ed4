"""Dependency confusion as a table, over real processes: the first source's answer × the second one's offer.

`pytest tests/confusion -s` prints it: for each case whose page a client saw, and whose file it got.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import pytest

from shared.queue.jobs import ARTIFACT, INDEX, REFRESH
from shared.queue.keys import queue_key
from tests.confusion.cells import ABSENT, ASKED, AWAY, Cell, cells, table
from tests.confusion.shapes import SHAPES, Published
from tests.support.orchard import Cluster, cluster, wait_until
from tests.support.upstream import Fault, Upstream

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FIRST, SECOND, ELSEWHERE = 1, 2, 3  # salts: each source's bytes are its own
LOGIN = b"<html><body><form><input type='password' name='p'></form></body></html>"
STATUS = {"401": 401, "403": 403, "429": 429, "500": 500, "503": 503, "410": 410, "204": 204}
Seen = dict[Cell, tuple[str, str]]


class Scene:
    """Two sources, a third place that they may point to, and Orchard in front of them."""

    def __init__(self, orchard: Cluster, first: Upstream, second: Upstream, elsewhere: Upstream) -> None:
        self.orchard, self.first, self.second, self.elsewhere = orchard, first, second, elsewhere
        self._marks: dict[Cell, dict[str, Published]] = {}

    def prepare(self, cell: Cell) -> None:
        """What was before: served by the first, by the second, or by nobody."""
        has = self._marks[cell] = {}
        if cell.state in ("pinned first", "paused, pinned", "removed, pinned"):
            has["first"] = cell.shape.publish(self.first, cell.project, "1.0.0", FIRST)
            assert self.page(cell) == "first", cell
        elif cell.state == "pinned second":
            has["second"] = cell.shape.publish(self.second, cell.project, "1.0.0", SECOND)
            assert self.page(cell) == "second", cell

    def play(self, cell: Cell) -> None:
        """From now on the first source gives its answer, and the second one its offer."""
        shape, project, has = cell.shape, cell.project, self._marks[cell]
        paths = shape.upstream_paths(project)
        if cell.offer == "nothing":
            for path in paths:
                self.second.remove(path)
            has.pop("second", None)
        else:
            version = "9.0.0" if cell.offer == "higher" else "1.0.0"
            has["second"] = shape.publish(self.second, project, version, SECOND)
        if cell.answer == "200":
            has["first"] = shape.publish(self.first, project, "1.0.0", FIRST)
        elif cell.answer == "404":
            for path in paths:
                self.first.remove(path)
        elif cell.answer == "empty page":
            for path in paths:
                self.first.remove(path)
            shape.empty(self.first, project)
        elif cell.answer != "–":
            if cell.answer == "elsewhere, a page" and cell.offer != "nothing":
                version = next(iter(has["second"].files))
                has["elsewhere"] = shape.publish(self.elsewhere, project, version, ELSEWHERE)
            for path in paths:
                self.first.fault(path, self._fault(cell.answer, path))

    def _fault(self, answer: str, path: str) -> Fault:
        if answer in STATUS:
            return Fault(status=STATUS[answer])
        return {
            "404 with a page": Fault(status=404, body=b'{"meta":{"api-version":"1.0"},"files":[]}'),
            "web page": Fault(status=200, body=LOGIN, content_type="text/html"),
            "reset": Fault(status=200, body=b"x" * 100, cut_at=0, reset=True),
            "timeout": Fault(silent=True),
            "login, then 404": Fault(redirect="/login?next=" + path),
            "elsewhere, 404": Fault(redirect=self.elsewhere.url + "/nothing" + path),
            "elsewhere, a page": Fault(redirect=self.elsewhere.url + path),
        }[answer]

    def page(self, cell: Cell) -> str:
        """Whose page Orchard shows."""
        answer = self.orchard.get(cell.shape.page(cell.project), headers={"accept": cell.shape.accept})
        if answer.status_code != 200:
            return "404" if answer.status_code == 404 else "error"
        whose = [name for name, has in self._marks[cell].items() if has.mark in answer.text]
        return " and ".join(whose) or "empty"

    def file(self, cell: Cell) -> str:
        """Whose file Orchard gives for the one that the second source offers."""
        has = self._marks[cell]
        offered = has["second"].files if "second" in has else {"9.0.0": b"nobody has this"}
        version, content = next(iter(offered.items()))
        answer = self.orchard.get(cell.shape.file(cell.project, version, content))
        if answer.status_code != 200:
            return "404" if answer.status_code == 404 else "error"
        whose = [name for name, each in has.items() if answer.content in each.files.values()]
        return " and ".join(whose) or "nobody's"

    def see(self, cell: Cell) -> tuple[str, str]:
        """Whose page and file, once the page that was before has been asked for anew."""
        file = self.file(cell) if cell.state.endswith("never seen") else ""
        deadline = time.monotonic() + 15
        page = self.page(cell)
        while page not in cell.page and time.monotonic() < deadline:
            assert page == "first" or page == "error" or "never" not in cell.state, (cell, page)
            time.sleep(0.2)
            page = self.page(cell)
        return page, file or self.file(cell)


def _each(do: Callable[[Cell], object], those: Iterable[Cell]) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(do, those))


def _execute(orchard: Cluster, statement: str) -> list[asyncpg.Record]:
    async def run() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(orchard.database_url)
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()

    return asyncio.run(run())


def _jobs(orchard: Cluster) -> int:
    with orchard.client(orchard.queue) as client:
        return sum(int(client.zcard(queue_key(queue))) for queue in (INDEX, ARTIFACT, REFRESH))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Upstream() as first, Upstream() as second, Upstream() as elsewhere:
        addresses = {
            f"ORCHARD_{shape.name.upper()}_UPSTREAM": ",".join(
                server.url + shape.prefix for server in (first, second)
            )
            for shape in SHAPES
        }
        with cluster(
            tmp_path_factory.mktemp("orchard"),
            first,
            extractors=0,
            ORCHARD_REQUEST_TIMEOUT="3",
            ORCHARD_HTTP_READ_TIMEOUT="5",
            ORCHARD_CACHE_TTL_INDEX="1",
            ORCHARD_CACHE_TTL_NEGATIVE="1",
            **addresses,
        ) as running:
            yield Scene(running, first, second, elsewhere)


@pytest.fixture(scope="module")
def seen(scene: Scene) -> Seen:
    """All cells, played once."""
    every, found = cells(), Seen()

    def play(cell: Cell) -> None:
        scene.play(cell)
        found[cell] = scene.see(cell)

    _each(scene.prepare, every)
    for answer in dict.fromkeys(cell.answer for cell in every if cell.state in ASKED):
        _each(play, [cell for cell in every if cell.answer == answer])
    # A job that hung on the first source would ask the second once the first is paused, and may.
    wait_until(lambda: _jobs(scene.orchard) == 0, seconds=120, what="the end of all jobs")
    first = f"url LIKE '{scene.first.url}%'"
    for word, statement in (
        ("paused", f"UPDATE upstream_sources SET enabled = false WHERE {first}"),
        ("removed", f"DELETE FROM upstream_sources WHERE {first}"),
    ):
        _execute(scene.orchard, statement)
        time.sleep(2)  # in force within a second
        _each(play, [cell for cell in every if cell.state.startswith(word)])
    print("\n" + table({cell: found[cell] for cell in every}))
    return found


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@pytest.mark.parametrize("state", [*ASKED, *AWAY])
def test_whose_name__as_the_table_says(seen: Seen, shape: object, state: str) -> None:
    wrong = [
        f"{cell.row} | {cell.offer}: page of {page}, may be {cell.page}; file of {file}, may be {cell.file}"
        for cell, (page, file) in seen.items()
        if cell.shape is shape and cell.state == state and not (page in cell.page and file in cell.file)
    ]
    assert not wrong, "\n".join(wrong)


def test_second_source__never_asked_for_what_the_first_did_not_truly_lack(scene: Scene, seen: Seen) -> None:
    asked = [
        f"{cell.row} | {cell.offer}"
        for cell in seen
        if cell.state in ("never seen", "pinned first", "paused, pinned", "removed, pinned")
        and not (cell.state == "never seen" and (cell.answer in ABSENT or cell.answer == "empty page"))
        and any(scene.second.count(path) for path in cell.shape.upstream_paths(cell.project))
    ]
    assert not asked, "\n".join(asked)
