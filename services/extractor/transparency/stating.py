"""`AdmissionStating`: signs a statement of each admission, after that has its number (docs/decisions/0048).

Order: objects → one statement that names them and says how far it has come. What is cut off in between is
made again.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from shared.access.watcher import AccessWatcher
from shared.errors.passing import AdvisoriesUnknown, StoreUnavailable
from shared.models import FileName
from shared.objects.port import statement_key
from shared.protocols import find_protocol
from shared.protocols.subjects import subject_of_file
from shared.redis import clock
from shared.statements.dependency import Evaluated, dependency_statement
from shared.statements.platform import platform_of
from shared.stores import Stores
from shared.tlog.entries import FORMAT, LogEntry
from shared.tlog.proofs import TILE, read_bundle
from shared.tlog.signing import Signer
from shared.transparency.reader import LogReader
from shared.transparency.rows import LogRows
from shared.transparency.statements import Facts, Made, Named, StatementRows

TURN_SECONDS = 0.5  # the log's own turn comes once a second
AT_ONCE = 16  # objects

_Name = tuple[str, str, str, str]  # protocol, project, file, SHA256


class _Format(msgspec.Struct):
    format: int = 0


class AdmissionStating:
    """Not for two tasks at once; two processes do no harm."""

    def __init__(self, stores: Stores, signer: Signer, access: AccessWatcher) -> None:
        self._rows = StatementRows(stores.database)
        self._reader = LogReader(LogRows(stores.database), stores.objects)
        self._objects = stores.objects
        self._threads = stores.threads
        self._signer = signer
        self._access = access
        self._platform = platform_of(signer, stores.settings)
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def run(self, may_go_on: Callable[[], Awaitable[bool]], seconds: float = TURN_SECONDS) -> int:
        """State what the log has, for `seconds` at most (at least one bundle); how many statements. Raises
        what the stores raise: whatever was done until then stands."""
        count, began = 0, time.monotonic()
        first, size = await self._rows.stated()
        while first < size and await may_go_on():
            end = min(size, first - first % TILE + TILE)
            made = await self._bundle(first, end)
            if not await self._rows.state(first, end, made):
                break  # another has: the next turn reads anew
            count, first = count + len(made), end
            if time.monotonic() - began >= seconds:
                break
        return count

    async def _bundle(self, first: int, end: int) -> list[Made]:
        index = first // TILE
        data = await self._reader.bundle(index, end - index * TILE)
        if data is None:
            raise StoreUnavailable(f"bundle {index} of the log is not there")
        admitted = [
            (leaf, entry)
            for leaf, raw in enumerate(read_bundle(data)[first % TILE :], first)
            if (entry := _admission(raw)) is not None
        ]
        if not admitted:
            return []
        digests = [bytes.fromhex(entry.digests["sha256"]) for _, entry in admitted]
        facts = {
            (each.protocol, each.project, each.filename, each.sha256): each
            for each in await self._rows.facts(digests)
        }
        publishers = await self._rows.publishers([name for _, entry in admitted for name in _names(entry)])
        now = clock.now()
        asked = [
            (
                leaf,
                entry,
                self._evaluated(entry, facts, now),
                next((publishers[name] for name in _names(entry) if name in publishers), ""),
            )
            for leaf, entry in admitted
        ]
        signed = await self._threads.run(self._signed, asked)
        await asyncio.gather(*(self._put(made, envelope) for made, envelope in signed))
        return [made for made, _ in signed]

    def _signed(
        self, asked: Sequence[tuple[int, LogEntry, list[Evaluated] | None, str]]
    ) -> list[tuple[Made, bytes]]:
        found = []
        for leaf, entry, evaluated, publisher in asked:
            payload = dependency_statement(entry, self._platform, evaluated, publisher)
            if payload is None:
                continue
            envelope = self._signer.envelope(payload)
            made = Made(
                bytes.fromhex(entry.digests["sha256"]),
                leaf,
                entry.protocol,
                entry.project,
                entry.version,
                hashlib.sha256(envelope).digest(),
            )
            found.append((made, envelope))
        return found

    async def _put(self, made: Made, envelope: bytes) -> None:
        async with self._turns:
            await self._objects.put_bytes(statement_key(made.object.hex()), envelope)

    def _evaluated(self, entry: LogEntry, facts: Mapping[_Name, Facts], now: float) -> list[Evaluated] | None:
        """What the policy says of it now, as the statement has it; None: nothing that could be said there."""
        policy = self._access.policy
        if self._access.state is None:
            return None
        if not policy.any:
            return []
        sha256 = entry.digests["sha256"]
        known = facts.get((entry.protocol, entry.project, entry.file, sha256))
        protocol = find_protocol(entry.protocol)
        if known is None or protocol is None:
            return None
        file = FileName(known.protocol, known.project, known.file_id, known.filename)
        try:
            verdict = policy.verdict(subject_of_file(protocol, file, known), now)
        except AdvisoriesUnknown:
            return None
        if verdict is None or not verdict.allowed:
            return None
        verdicts = policy.of(entry.protocol, entry.project)
        return [Evaluated("+".join(filter(None, (verdicts.stamp, verdicts.rules_stamp))) or "none", now)]


def _names(entry: LogEntry) -> list[Named]:
    """Under which an attestation of these bytes may be known."""
    return [(entry.protocol, entry.project, digest) for digest in entry.digests.values()]


def _admission(raw: bytes) -> LogEntry | None:
    """The entry of a file that was admitted; None for any other, and for one of a later format."""
    if msgspec.json.decode(raw, type=_Format).format != FORMAT:
        return None
    entry = msgspec.json.decode(raw, type=LogEntry)
    return entry if entry.kind == "admission" and entry.role == "file" else None
