"""Questions to the ledger, over rows as extractors write them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from services.extractor.ledger.rows import LedgerRows
from services.gateway.api.admin import serving_rows
from services.gateway.api.admin.kept_answers import KeptAnswers
from services.gateway.api.admin.serving_rows import LATEST, ServingRows, _parts
from services.gateway.api.admin.subjects import read_subject
from shared.ledger.batch import FORMAT, Batch, Client, File, Serving
from shared.policy.advisories import About, Advisory
from shared.postgres.database import Database
from shared.process.threads import BoundedThreads

CI = Client("192.0.2.7", "ci", "pip", "24.0")
HOME = Client("192.0.2.8", "", "uv", "0.5")
WHEEL, SDIST = (
    File("pypi", "flask", "3", name, digest * 32)
    for name, digest in (("flask-3.0-py3-none-any.whl", "aa"), ("flask-3.0.tar.gz", "bb"))
)
OLDER = File("pypi", "flask", "2", "flask-2.0.tar.gz", "cc" * 32)
PAGE = File("pypi", "flask", "", "", "")
CRATE = File("cargo", "my_crate", "1.0.0", "my_crate-1.0.0.crate", "")
THREADS = BoundedThreads(1)
NOW = round(time.time()) - 3600.0


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    one = Database(database_url, max_size=2)
    await one.open()
    yield one
    await one.aclose()


@pytest.fixture
async def rows(database: Database) -> ServingRows:
    """A ledger of: client, file, seconds after NOW, result, code, times."""
    told = [
        (CI, WHEEL, 0, 0, "", 1),
        (CI, WHEEL, 100, 0, "", 5),
        (CI, WHEEL, 200, 3, "blocked", 1),
        (CI, WHEEL, 201, 3, "too_young", 1),
        (HOME, WHEEL, 300, 1, "", 1),
        (HOME, SDIST, 50, 0, "", 1),
        (HOME, OLDER, 60, 0, "", 1),
        (HOME, PAGE, 70, 3, "blocked", 2),
        (CI, CRATE, 80, 0, "", 1),
    ]
    clients, files = list({each[0]: None for each in told}), list({each[1]: None for each in told})
    servings = [
        Serving(NOW + after, clients.index(client), files.index(file), result, "HIT", code, times, 10 * times)
        for client, file, after, result, code, times in told
    ]
    kept = await LedgerRows(database, days=9).keep(Batch(FORMAT, "one", 1, 0, clients, files, servings))
    assert kept.stored == sum(each[5] for each in told)
    return ServingRows(database)


async def got(rows: ServingRows, of: str, **more: Any) -> list[tuple[Any, ...]]:
    asked = {"since": 0.0, "until": LATEST, "after": None, "limit": 100} | more
    return [
        (
            each.tool,
            each.filename[:9],
            each.result,
            each.code,
            each.times,
            each.first_at - NOW,
            each.last_at - NOW,
        )
        for each, _ in await rows.who_got((await rows.files_of(read_subject(of)))[0], **asked)
    ]


async def test_version__who_got_it_and_who_was_refused__last_first(rows: ServingRows) -> None:
    assert await got(rows, "pkg:pypi/Flask@3.0") == [
        ("uv", "flask-3.0", "partial", "", 1, 300, 300),
        ("pip", "flask-3.0", "refused", "too_young", 1, 201, 201),
        ("pip", "flask-3.0", "refused", "blocked", 1, 200, 200),
        ("pip", "flask-3.0", "served", "", 6, 0, 100),
        ("uv", "flask-3.0", "served", "", 1, 50, 50),
    ]


async def test_package__all_versions_and_refused_pages(rows: ServingRows) -> None:
    found = await got(rows, "pkg:pypi/flask")
    assert len(found) == 7
    assert ("uv", "", "refused", "blocked", 2, 70, 70) in found


async def test_digest__is_one_file(rows: ServingRows) -> None:
    assert [each[0] for each in await got(rows, "bb" * 32)] == ["uv"]
    assert await got(rows, "dd" * 32) == []


async def test_time__bounds_what_is_counted(rows: ServingRows) -> None:
    found = await got(rows, "aa" * 32, since=NOW + 100, until=NOW + 201)
    assert [(each[2], each[3], each[4]) for each in found] == [("refused", "blocked", 1), ("served", "", 5)]
    assert await got(rows, "aa" * 32, since=NOW + 400) == []


async def test_later_batches__add_to_the_sums_of_the_day(rows: ServingRows, database: Database) -> None:
    before = await got(rows, "bb" * 32)
    keeper = LedgerRows(database, days=9)
    for number, after in ((2, 500), (3, 40)):
        serving = Serving(NOW + after, 0, 0, 0, "HIT", "", 2, 1)
        await keeper.keep(Batch(FORMAT, "one", number, 0, [HOME], [SDIST], [serving]))
    assert [(each[4], each[5], each[6]) for each in before] == [(1, 50, 50)]
    assert [(each[4], each[5], each[6]) for each in await got(rows, "bb" * 32)] == [(5, 40, 500)]


async def test_other_spelling_of_the_same_crate__is_found(rows: ServingRows) -> None:
    assert len(await got(rows, "pkg:cargo/my-crate@1.0.0")) == 1


@pytest.mark.parametrize("of", ["pkg:npm/JSONStream@1.3.5", "pkg:npm/jsonstream@1.3.5"])
async def test_capitals__which_many_scanners_do_not_keep__are_found(database: Database, of: str) -> None:
    file = File("npm", "JSONStream", "1.3.5", "JSONStream-1.3.5.tgz", "")
    await LedgerRows(database, days=9).keep(
        Batch(FORMAT, "one", 1, 0, [CI], [file], [Serving(NOW, 0, 0, 0, "HIT", "", 1, 1)])
    )
    assert len(await got(ServingRows(database), of)) == 1


async def test_advisory__is_about_the_name_in_its_own_capitals(database: Database) -> None:
    files = [File("npm", name, "1.0.0", f"{name}-1.0.0.tgz", "") for name in ("Twin", "twin")]
    servings = [Serving(NOW, 0, number, 0, "HIT", "", 1, 1) for number in range(2)]
    await LedgerRows(database, days=9).keep(Batch(FORMAT, "one", 1, 0, [CI], files, servings))
    about = About("npm", "Twin", (Advisory("MAL-2026-1", True, versions=("1.0.0",)),))
    files, subjects, is_all = await ServingRows(database).affected([about], THREADS)
    assert [each.purl for each in subjects] == ["pkg:npm/Twin@1.0.0"]
    assert len(files) == 1 and is_all


async def test_pages__go_on_after_the_last_row(rows: ServingRows) -> None:
    subject = read_subject("pkg:pypi/flask")
    whole = await rows.who_got((await rows.files_of(subject))[0], 0, LATEST, None, 100)
    after, found = None, []
    while page := await rows.who_got((await rows.files_of(subject))[0], 0, LATEST, after, 2):
        found += [each for each, _ in page]
        after = page[-1][1]
    assert found == [each for each, _ in whole]


async def test_export__is_everything_once__oldest_first__by_pages_too(
    rows: ServingRows, database: Database
) -> None:
    files = [File("npm", f"p{n}", "1.0.0", f"p{n}.tgz", "") for n in range(50)]
    servings = [Serving(NOW - 86_400, 0, n, 0, "HIT", "", 1, 1) for n in range(50)]  # of one moment
    await LedgerRows(database, days=9).keep(Batch(FORMAT, "one", 2, 0, [CI], files, servings))
    after: int | None = -1
    found = []
    while after is not None:
        page, after = await rows.servings(0, LATEST, after, 7)
        found += page
    assert len(found) == 59 == len({each.id for each in found})
    assert [each.at for each in found] == sorted(each.at for each in found)
    assert sum(each.times for each in found) == 50 + 14
    last = found[-1]
    assert (last.tool, last.result, last.cache, last.purl) == ("uv", "partial", "HIT", "pkg:pypi/flask@3.0")
    assert len((await rows.servings(NOW, NOW + 60, -1, 100))[0]) == 2


# --- what names it --------------------------------------------------------------------------------


async def keep(database: Database, table: str, text: str) -> str:
    key = hashlib.sha256(text.encode()).digest()
    if table == "ensures":
        await database.execute("INSERT INTO ensures (key, body) VALUES ($1, $2)", key, text.encode())
    else:
        await database.execute(
            "INSERT INTO resolutions (key, protocol, body) VALUES ($1, 'pypi', $2)", key, text.encode()
        )
    return key.hex()


@pytest.mark.parametrize(
    ("of", "named"),
    [
        ("pkg:pypi/flask@3.0.0", {"lock", "graph"}),
        ("pkg:pypi/flask@2", {"other"}),
        ("pkg:pypi/flask", {"lock", "graph", "other"}),
        ("pkg:pypi/flask-login", {"login"}),
        ("pkg:npm/@corp/app@1.0.0", {"scoped"}),
        ("pkg:npm/@corp/app", {"scoped"}),
        ("pkg:npm/JSONStream@1.3.5", {"capitals", "of an earlier release"}),
        ("pkg:npm/JSONStream", {"capitals", "of an earlier release"}),
        ("aa" * 32, {"lock"}),
        ("pkg:pypi/fla.k@3", set()),
    ],
)
async def test_locks_and_resolutions_that_name_it__are_found(
    database: Database, of: str, named: set[str]
) -> None:
    keys = {
        await keep(database, table, text): name
        for name, table, text in (
            ("lock", "ensures", f'{{"purl":"pkg:pypi/flask@3.0","sha256":"{"aa" * 32}"}}'),
            ("other", "ensures", '{"purl":"pkg:pypi/flask@2.0"}'),
            ("login", "ensures", '{"purl":"pkg:pypi/flask-login@3.0"}'),
            ("scoped", "ensures", '{"purl":"pkg:npm/%40corp/app@1.0.0"}'),
            ("capitals", "ensures", '{"purl":"pkg:npm/JSONStream@1.3.5"}'),
            ("of an earlier release", "ensures", '{"purl":"pkg:npm/jsonstream@1.3.5"}'),
            ("graph", "resolutions", '{"a":"pkg:pypi/flask@3.0.0?file_name=x"}'),
        )
    }
    for number in range(200):  # more than one statement's
        await keep(database, "ensures", f'{{"purl":"pkg:pypi/none@{number}"}}')
    found, whole = await KeptAnswers(database, seconds=60).naming(read_subject(of))
    assert whole
    assert {keys[each.key] for each in found} == named
    assert all(each.path.endswith(each.key) for each in found)


async def test_more_than_can_be_looked_through_in_time__is_said(database: Database) -> None:
    for number in range(65):
        await keep(database, "ensures", f'{{"purl":"pkg:pypi/none@{number}"}}')
    _, whole = await KeptAnswers(database, seconds=0).naming(read_subject("pkg:pypi/flask"))
    assert not whole


# --- parts of days ----------------------------------------------------------------------------------

MIDNIGHT = 1_800_057_600.0 // 86_400 * 86_400


@pytest.mark.parametrize("since", [0.0, MIDNIGHT - 90_000, MIDNIGHT - 1, MIDNIGHT, MIDNIGHT + 10.5])
@pytest.mark.parametrize("until", [MIDNIGHT, MIDNIGHT + 11, MIDNIGHT + 86_400, MIDNIGHT + 200_000.25, LATEST])
async def test_time__is_cut_into_whole_days_and_the_parts_around_them(since: float, until: float) -> None:
    if since >= until:
        return
    first, end, *parts = _parts(since, until)
    days = [datetime.combine(day, datetime.min.time(), UTC).timestamp() for day in (first, end)]
    cut = ((parts[0], parts[1]), (days[0], days[1]), (parts[2], parts[3]))
    pieces = sorted(piece for piece in cut if piece[0] < piece[1])
    assert pieces[0][0] == since and pieces[-1][1] == until
    assert all(before[1] == after[0] for before, after in pairwise(pieces))


@pytest.mark.parametrize("hours", range(0, 72, 7))
async def test_sums_and_servings__count_the_same(database: Database, hours: int) -> None:
    """One serving an hour of three days: whatever time is asked for, as many as it has hours."""
    start = (time.time() // 86_400 - 3) * 86_400
    servings = [Serving(start + 3600 * n + 1800, 0, 0, 0, "HIT", "", 1, 1) for n in range(72)]
    await LedgerRows(database, days=9).keep(Batch(FORMAT, "one", 1, 0, [CI], [WHEEL], servings))
    for length in (1, 5, 24, 30, 72 - hours):
        found = await got(
            ServingRows(database),
            "aa" * 32,
            since=start + 3600 * hours,
            until=start + 3600 * (hours + length),
        )
        assert sum(each[4] for each in found) == min(length, 72 - hours)


@pytest.mark.parametrize("of", ["pkg:pypi/flask", "aa" * 32])
async def test_more_refused_files_than_are_looked_at__hide_nobody_who_got_one(
    rows: ServingRows, database: Database, monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    monkeypatch.setattr(serving_rows, "MOST_FILES", 4)
    files = [File("pypi", "flask", "3", f"flask-3.0-{number}.whl", "aa" * 32) for number in range(9)]
    servings = [Serving(NOW + 400, 0, number, 3, "MISS", "blocked", 1, 0) for number in range(9)]
    await LedgerRows(database, days=9).keep(Batch(FORMAT, "two", 1, 0, [HOME], files, servings))
    assert ("pip", "flask-3.0", "served", "", 6, 0, 100) in await got(rows, of)
    found, is_all = await rows.files_of(read_subject(of))
    assert len(found) == 4 and not is_all


async def test_more_files_of_an_advisory_than_are_looked_at__is_said(
    rows: ServingRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving_rows, "MOST_FILES", 1)
    about = About("pypi", "flask", (Advisory("MAL-2026-1", True, versions=("3",)),))
    found, _, is_all = await rows.affected([about], THREADS)
    assert len(found) == 1 and not is_all
