"""Resolutions that nothing satisfies: kept with what they follow from, and told again while that is the same.

The documents are loaded as for any resolution, refreshed where they are old: only the solving is spared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

import msgspec

from shared.errors import ErrorValue, ResolutionConflict
from shared.protocols.resolution import Document
from shared.queue.jobs import Resolve
from shared.resolving.answers import KeptResolutions
from shared.version import VERSION

MOST_DOCUMENTS = 2000


class Refusal(msgspec.Struct, frozen=True):
    """Why nothing fits, and of what that follows."""

    version: str  # of Orchard: rules get better
    error: ErrorValue
    documents: tuple[Document, ...]
    stamp: str  # of their contents


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Refusal).decode


def stamp_of(documents: Collection[Document], stamps: Mapping[Document, str]) -> str:
    """Of these documents' contents; "" where that of one is not known, or is another by the hour."""
    known = sorted((msgspec.json.encode(each), stamps.get(each, "")) for each in documents)
    if not all(stamp for _, stamp in known):
        return ""
    return hashlib.sha256(msgspec.json.encode([(name.decode(), stamp) for name, stamp in known])).hexdigest()


class Refusals:
    """In the cache: one that is lost is worked out again."""

    def __init__(self, resolutions: KeptResolutions) -> None:
        self._resolutions = resolutions

    async def find(self, job: Resolve) -> Refusal | None:
        """What is kept for a job, if this version has made it."""
        raw = None if job.refresh else await self._resolutions.refusal(job)
        if raw is None:
            return None
        try:
            found = _decode(raw)
        except msgspec.MsgspecError:
            return None
        return found if found.version == VERSION else None

    async def keep(
        self,
        job: Resolve,
        error: ResolutionConflict,
        documents: Collection[Document],
        stamps: Mapping[Document, str],
    ) -> None:
        """For a week, if all that it follows from can be told apart from something else."""
        stamp = stamp_of(documents, stamps)
        if stamp and len(documents) <= MOST_DOCUMENTS:
            refusal = Refusal(VERSION, error.to_value(), tuple(documents), stamp)
            await self._resolutions.refuse(job, _encode(refusal))
