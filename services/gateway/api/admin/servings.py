"""The admin API: who has a package, and the ledger of servings as it is."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from litestar import get
from litestar.params import Parameter

from services.gateway.api.admin.kept_answers import KeptAnswers, stored_of
from services.gateway.api.admin.repository import Actor, AdminRepository
from services.gateway.api.admin.serving_rows import LATEST, ServingRows
from services.gateway.api.admin.serving_types import Naming, Serving, WhoHas
from services.gateway.api.admin.subjects import Subject, read_subject, told_subject
from services.gateway.api.catalogue_rows import Catalogue
from services.gateway.api.parameters import (
    DEFAULT_LIMIT,
    Cursor,
    Limit,
    check_limit,
    cursor_of,
    page_of,
    read_cursor,
)
from services.gateway.api.types import Page
from shared.access.watcher import AccessWatcher
from shared.errors import EntryNotFound, InvalidParameter
from shared.policy.advisories import MOST_NAMED, About, Advisories
from shared.process.threads import BoundedThreads
from shared.stores import Stores

MOST_SERVINGS = 5000  # of one page: an export has millions
DEPENDENTS = 20  # shown
MOST_LOOKED_FOR = 4  # versions that an advisory is about, in kept locks and resolutions
ADVISORY = re.compile(r"[A-Za-z0-9]+-[A-Za-z0-9._:-]{1,120}")
SURELY = re.compile(r"[A-Z]{2,16}-[A-Za-z0-9._:-]{1,120}")  # GHSA-…, MAL-…, CVE-…

Since = Annotated[float, Parameter(description="Unix seconds: only what was served since")]
Until = Annotated[float, Parameter(description="Unix seconds: only what was served before; 0: no bound")]


@get("/api/v1/admin/who-has", summary="Who got a package or a file, and what names it")
async def who_has(
    serving_rows: ServingRows,
    kept_answers: KeptAnswers,
    catalogue: Catalogue,
    repository: AdminRepository,
    actor: Actor,
    access_watcher: AccessWatcher,
    stores: Stores,
    parsers: BoundedThreads,
    of: Annotated[
        str, Parameter(description="A package URL, with or without a version, a SHA-256, or an advisory's id")
    ],
    since: Since = 0.0,
    until: Until = 0.0,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = "",
) -> WhoHas:
    """The last first. The first page also has the kept locks and resolutions that name it, sealed builds that
    hold it, and stored files that depend on it. The question is in the audit. Of very many files those are
    told of that somebody got, and were seen last; `all_files` is false then."""
    abouts = await parsers.run(about_advisory, of.strip(), access_watcher.feeds.advisories)
    subject = Subject() if abouts else read_subject(of)
    since, until = _time(since, until)
    after = read_cursor(cursor, int, int, int, int, str)
    if after is not None and not (0 <= after[0] < 2**62 and all(0 <= each < 2**31 for each in after[1:4])):
        raise InvalidParameter("cursor: not one that this list has given")
    within = {"since": since, "until": until}
    await repository.note_question(actor, "servings.who_has", of[:1024], within, first=after is None)
    if abouts:
        files, subjects, all_files = await serving_rows.affected(abouts, parsers)
        all_files = all_files and len(abouts) < MOST_NAMED
    else:
        files, all_files = await serving_rows.files_of(subject)
        subjects = [subject]
    rows = await serving_rows.who_got(files, since, until, after, check_limit(limit) + 1)
    page = page_of(rows, limit)
    told = WhoHas(
        told_subject(of, subject), subject.sha256, since, until, page.items, page.next, all_files=all_files
    )
    if after is not None:
        return told
    named_by: list[Naming] = []
    all_looked_through = len(subjects) <= MOST_LOOKED_FOR
    for each in subjects[:MOST_LOOKED_FOR]:
        named, looked_through = await kept_answers.naming(each)
        named += await kept_answers.builds(await stored_of(stores.artifacts, each))
        named_by += [it for it in named if it not in named_by]
        all_looked_through = all_looked_through and looked_through
    dependents = []
    if subject.project:
        found, _ = await catalogue.dependents(subject.protocol, subject.project, None, DEPENDENTS)
        dependents = [each for each, _ in found]
    return msgspec.structs.replace(
        told, named_by=named_by, all_looked_through=all_looked_through, dependents=dependents
    )


def about_advisory(text: str, known: Advisories | None) -> list[About]:
    """What an advisory of this id is about; none where it can be something else. Takes what looking through
    all advisories takes. Raises `EntryNotFound` for
    what can only be the id of an advisory, and no feed knows."""
    found: list[About] = []
    if known is not None and ADVISORY.fullmatch(text):
        found = known.named(text) or known.named(text.upper())  # as many write MAL-… and CVE-…
    if not found and SURELY.fullmatch(text):
        which = "none has been read here" if known is None else "`orchard feeds list` shows them"
        raise EntryNotFound(
            f"no feed of advisories knows {text}",
            hint=f"Of feeds, {which}. What it is about may be asked by its package URL.",
        )
    return found


@get("/api/v1/admin/servings", summary="The ledger of servings")
async def servings(
    serving_rows: ServingRows,
    repository: AdminRepository,
    actor: Actor,
    since: Since = 0.0,
    until: Until = 0.0,
    limit: Annotated[int, Parameter(description="Items on a page, 1 to 5000")] = DEFAULT_LIMIT,
    cursor: Cursor = "",
) -> Page[Serving]:
    """The oldest first. That somebody reads it is in the audit."""
    since, until = _time(since, until)
    if not 1 <= limit <= MOST_SERVINGS:
        raise InvalidParameter(f"limit: from 1 to {MOST_SERVINGS}, not {limit}")
    after = read_cursor(cursor, int)
    if after is not None and not 0 <= after[0] < LATEST * 1_000_000:
        raise InvalidParameter("cursor: not one that this list has given")
    within = {"since": since, "until": until}
    await repository.note_question(actor, "servings.export", "", within, first=after is None)
    found, goes_on = await serving_rows.servings(since, until, after[0] if after else -1, limit)
    return Page(found, "" if goes_on is None else cursor_of([goes_on]))


def _time(since: float, until: float) -> tuple[float, float]:
    """Raises `InvalidParameter`."""
    until = until or LATEST
    if not 0 <= since < LATEST or not 0 <= until <= LATEST:
        raise InvalidParameter("since, until: expected unix seconds")
    if since >= until:
        raise InvalidParameter("since: expected a time before `until`")
    return since, until


HANDLERS = [who_has, servings]
