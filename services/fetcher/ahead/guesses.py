"""From a guess to its job, and from the job's end to what follows it."""

from __future__ import annotations

import msgspec

from services.fetcher.ahead.budgets import GuessedJob, Held
from services.fetcher.ahead.came import Came
from shared.models import IndexHead
from shared.objects.port import artifact_key
from shared.protocols import protocol_named
from shared.protocols.base import PackageProxyBase
from shared.protocols.roles.ahead import Guess
from shared.queue.events import Event
from shared.queue.jobs import IN_USE, Asker, FetchArtifact, FetchIndex
from shared.redis import clock

LARGEST_FILE_BYTES = 1024 * 1024  # of a file that is read for what follows it


def is_fresh(head: IndexHead, revision: int) -> bool:
    """Whether clients are served it without any job; `revision`: of the sources."""
    return head.source_revision == revision and not head.failing and clock.now() < head.fresh_until


def job_of(protocol: PackageProxyBase, guess: Guess, asker: Asker) -> GuessedJob:
    """The job that fetches it, for the same client."""
    asker = msgspec.structs.replace(asker, wanted=guess.wanted)
    if guess.file is not None:
        return FetchArtifact.of(guess.file, asker=asker, guessed=True)
    return FetchIndex(
        protocol.name,
        guess.identity,
        base_url=asker.base_url,
        variant=asker.variant or IN_USE,
        asker=asker,
        guessed=True,
    )


def following(held: Held, event: Event) -> Came | None:
    """What follows the guess once it has come; its own page is looked up when its turn comes."""
    job = held.job
    asker = job.asker
    if asker is None:
        return None
    if isinstance(job, FetchIndex):
        return Came(job.protocol, asker, held.source_id, "", job.identity)
    if (event.size_bytes or 0) > LARGEST_FILE_BYTES:
        return None
    if not protocol_named(job.protocol).ahead.reads_file(job.filename):
        return None
    return Came(job.protocol, asker, held.source_id, artifact_key(event.sha256), file=job.file)
