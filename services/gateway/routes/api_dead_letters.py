"""The admin API: jobs that were given up."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, delete, get, post

from services.gateway.cursors import DEFAULT_LIMIT, check_limit, page_of, read_cursor
from services.gateway.routes.admin_guard import actor_of, admin_only, repository_of
from services.gateway.routes.api_catalogue import Cursor, Limit, gateway_of
from shared.admin_types import Removed
from shared.api_types import Page
from shared.clients.queue_dead import DeadLetters, KeptLetter
from shared.clients.queue_format import DEAD_KEPT
from shared.errors import Conflict, EntryNotFound, InvalidParameter
from shared.jobs import QUEUES

_TAGS = ["admin"]
_LONGEST_SUBJECT = 500


class DeadJob(msgspec.Struct, frozen=True):
    """A job that was given up. `job`: its fields, long ones cut; {} where an older version kept none."""

    id: str
    queue: str
    job_id: str
    reason: str
    tries: int
    at: float  # unix seconds
    job: dict[str, Any]


class Requeued(msgspec.Struct, frozen=True):
    """A job is in its queue again; `accepted` false: one of its id was there already."""

    requeued: str
    accepted: bool


@get("/api/v1/admin/queues/{queue:str}/dead", summary="Jobs given up", tags=_TAGS, guards=[admin_only])
async def dead(
    request: Request[Any, Any, Any], queue: str, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = ""
) -> Page[DeadJob]:
    """The newest first; at most a thousand are kept."""
    after = read_cursor(cursor, int)
    start = min(max(0, after[0]), DEAD_KEPT) if after is not None else 0
    letters = await _letters(request, queue).list(queue, start=start, limit=check_limit(limit) + 1)
    return page_of([(_shown(queue, each), [start + at]) for at, each in enumerate(letters, 1)], limit)


@get(
    "/api/v1/admin/queues/{queue:str}/dead/{letter:str}",
    summary="A job given up",
    tags=_TAGS,
    guards=[admin_only],
)
async def dead_job(request: Request[Any, Any, Any], queue: str, letter: str) -> DeadJob:
    """One of them."""
    return _shown(queue, await _found(request, queue, letter))


@post(
    "/api/v1/admin/queues/{queue:str}/dead/{letter:str}/retry",
    summary="Try a job again that was given up",
    tags=_TAGS,
    guards=[admin_only],
    status_code=200,
)
async def retry(request: Request[Any, Any, Any], queue: str, letter: str) -> Requeued:
    """With all its tries."""
    kept = await _found(request, queue, letter)
    if not kept.letter.payload:
        raise Conflict("the job itself was not kept: it was too large, or an older version gave it up")
    await _note(request, "queue.retry", queue, kept)
    accepted = await _letters(request, queue).retry(queue, kept)
    return Requeued(kept.letter.job_id, accepted)


@delete(
    "/api/v1/admin/queues/{queue:str}/dead/{letter:str}",
    summary="Drop a job that was given up",
    tags=_TAGS,
    guards=[admin_only],
    status_code=200,
)
async def drop(request: Request[Any, Any, Any], queue: str, letter: str) -> Removed:
    """It is counted no more."""
    kept = await _found(request, queue, letter)
    await _note(request, "queue.drop", queue, kept)
    await _letters(request, queue).drop(queue, kept)
    return Removed(kept.letter.job_id)


def _letters(request: Request[Any, Any, Any], queue: str) -> DeadLetters:
    if queue not in QUEUES:
        raise InvalidParameter(f"queue: expected one of {', '.join(QUEUES)}")
    return DeadLetters(gateway_of(request).queue_redis)


async def _found(request: Request[Any, Any, Any], queue: str, letter: str) -> KeptLetter:
    found = await _letters(request, queue).find(queue, letter)
    if found is None:
        raise EntryNotFound(f"the queue {queue} has no such dead job")
    return found


async def _note(request: Request[Any, Any, Any], action: str, queue: str, kept: KeptLetter) -> None:
    after = {"reason": kept.letter.reason, "tries": kept.letter.tries}
    subject = f"{queue}/{kept.letter.job_id}"[:_LONGEST_SUBJECT]
    await repository_of(request).note(actor_of(request), action, subject, after)


def _shown(queue: str, kept: KeptLetter) -> DeadJob:
    letter = kept.letter
    return DeadJob(kept.id, queue, letter.job_id, letter.reason, letter.tries, letter.at, kept.fields)


HANDLERS = [dead, dead_job, retry, drop]
