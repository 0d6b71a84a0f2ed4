"""The admin API: dead letters, the jobs that were given up."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import delete, get, post

from services.gateway.api.admin.repository import Actor, AdminRepository
from services.gateway.api.parameters import DEFAULT_LIMIT, Cursor, Limit, check_limit, page_of, read_cursor
from services.gateway.api.types import Page, Removed
from shared.errors import Conflict, EntryNotFound, InvalidParameter
from shared.queue.dead import DeadLetters, KeptLetter
from shared.queue.jobs import QUEUES
from shared.queue.keys import DEAD_KEPT

_LONGEST_SUBJECT = 500


class DeadJob(msgspec.Struct, frozen=True):
    """A job that was given up. `job`: its fields, long ones cut; {} where an older version kept none."""

    id: str
    queue: str
    job_id: str
    reason: str
    tries: int
    count: int  # times that it was given up, with those when it was asked for again within five minutes
    since: float  # unix seconds: the first of them
    at: float  # the last
    job: dict[str, Any]


class Requeued(msgspec.Struct, frozen=True):
    """The answer to a retry. `accepted` false: a job of this id was in the queue already."""

    requeued: str
    accepted: bool


@get("/api/v1/admin/queues/{queue:str}/dead", summary="Jobs given up")
async def dead(
    dead_letters: DeadLetters, queue: str, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = ""
) -> Page[DeadJob]:
    """All dead letters of a queue, the newest first; at most a thousand are stored."""
    after = read_cursor(cursor, int)
    start = min(max(0, after[0]), DEAD_KEPT) if after is not None else 0
    letters = await dead_letters.list(_check_queue(queue), start=start, limit=check_limit(limit) + 1)
    return page_of([(_shown(queue, each), [start + at]) for at, each in enumerate(letters, 1)], limit)


@get(
    "/api/v1/admin/queues/{queue:str}/dead/{letter:str}",
    summary="A job given up",
)
async def dead_job(dead_letters: DeadLetters, queue: str, letter: str) -> DeadJob:
    """One dead letter."""
    return _shown(queue, await _found(dead_letters, queue, letter))


@post(
    "/api/v1/admin/queues/{queue:str}/dead/{letter:str}/retry",
    summary="Try a job again that was given up",
    status_code=200,
)
async def retry(
    dead_letters: DeadLetters, repository: AdminRepository, actor: Actor, queue: str, letter: str
) -> Requeued:
    """Enqueue the job again, with all its tries."""
    kept = await _found(dead_letters, queue, letter)
    if not kept.letter.payload:
        raise Conflict(
            "the job itself was not kept: it was too large, or an older version gave it up",
            hint="Ask for the page or file again: that makes a new job.",
        )
    await _note(repository, actor, "queue.retry", queue, kept)
    accepted = await dead_letters.retry(queue, kept)
    return Requeued(kept.letter.job_id, accepted)


@delete(
    "/api/v1/admin/queues/{queue:str}/dead/{letter:str}",
    summary="Drop a job that was given up",
    status_code=200,
)
async def drop(
    dead_letters: DeadLetters, repository: AdminRepository, actor: Actor, queue: str, letter: str
) -> Removed:
    """Delete the dead letter."""
    kept = await _found(dead_letters, queue, letter)
    await _note(repository, actor, "queue.drop", queue, kept)
    await dead_letters.drop(queue, kept)
    return Removed(kept.letter.job_id)


def _check_queue(queue: str) -> str:
    if queue not in QUEUES:
        raise InvalidParameter(f"queue: expected one of {', '.join(QUEUES)}")
    return queue


async def _found(dead_letters: DeadLetters, queue: str, letter: str) -> KeptLetter:
    found = await dead_letters.find(_check_queue(queue), letter)
    if found is None:
        raise EntryNotFound(
            f"the queue {queue} has no such dead job",
            hint="It was tried again or dropped; `orchard queue dead` lists those that are left.",
        )
    return found


async def _note(repository: AdminRepository, actor: Actor, action: str, queue: str, kept: KeptLetter) -> None:
    after = {"reason": kept.letter.reason, "tries": kept.letter.tries}
    subject = f"{queue}/{kept.letter.job_id}"[:_LONGEST_SUBJECT]
    await repository.note(actor, action, subject, after)


def _shown(queue: str, kept: KeptLetter) -> DeadJob:
    letter = kept.letter
    return DeadJob(
        id=kept.id,
        queue=queue,
        job_id=letter.job_id,
        reason=letter.reason,
        tries=letter.tries,
        count=letter.count,
        since=letter.at if letter.since is None else letter.since,
        at=letter.at,
        job=kept.fields,
    )


HANDLERS = [dead, dead_job, retry, drop]
