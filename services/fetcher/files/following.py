"""What is told and queued at the end of a job that fetched a file."""

from __future__ import annotations

import msgspec

from shared.models import FileEntry, StoredFile
from shared.protocols.base import PackageProxyBase
from shared.queue.context import JobContext
from shared.queue.jobs import IN_USE, ExtractDependencies, FetchArtifact, RenderIndex

RENDER_AFTER_SECONDS = 2.0  # one rendering for all files of a project that come within this time

_encode = msgspec.msgpack.Encoder().encode


def publish_done(ctx: JobContext, facts: StoredFile, *, passed: bool = False) -> None:
    """Have those who wait told, when the job ends, that the file is stored; or verified and `passed` on."""
    ctx.done(
        size_bytes=facts.size_bytes,
        content_type=facts.content_type,
        sha256=facts.sha256,
        value=_encode(facts),
        passed=passed,
    )


def follow_file(
    ctx: JobContext,
    protocol: PackageProxyBase,
    job: FetchArtifact,
    facts: StoredFile,
    entry: FileEntry | None,
) -> None:
    """Have follow what follows from a stored file: its extraction, and a rendering where its index lacks what
    we know of it. `entry`: of the upstream's index; None where no index lists the file, or none is at hand.

    Also of a run that finds the file stored: the run that stored it may have been killed before its end. Both
    jobs change nothing the second time.
    """
    metadata = protocol.archive.parent_of(job.filename) is not None
    if not metadata and protocol.archive.is_extractable(job.filename):
        ctx.follow(ExtractDependencies.of(job.file, sha256=facts.sha256, request_id=job.request_id))
    if entry is None:
        return
    render = RenderIndex(
        protocol=job.protocol,
        identity=protocol.grammar.index_identity(job.project),
        request_id=job.request_id,
        variant=IN_USE,
    )
    if not entry.hashes and facts.digests:  # from now on ours are shown
        ctx.follow(render, defer_seconds=RENDER_AFTER_SECONDS)
    elif metadata and entry.hashes and facts.sha256 not in entry.hashes.get("sha256", "").lower().split():
        ctx.follow(render)  # clients refuse it by the digest that the page tells
