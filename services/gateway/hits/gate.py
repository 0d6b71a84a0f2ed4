"""The one gate: may these bytes go out, and are they verified? (docs/decisions/0020-one-gate.md)

What memory does not answer passes it: `check` before anything is looked up, `admits` and `check_bytes` once a
file is known, `may_pass_on` for a range that nobody has hashed, `let_out` when the reply is there, and a
`Passage` around a body that is not in memory, so that a change of the policy ends it. Finished answers in
memory were let out once, and each change of the policy empties that memory (nothing grows younger); `sends`
notes what the server sends by itself.
Kept resolutions and locks have checks of their own (`shared/judging/kept.py`).

Of a file that is not verified yet never so many bytes go out that a client has the whole. Whole transfers
hold back an end; ranges passed through from upstream may give that very end (a wheel's directory is there).
So what both gave is written down per file (`EarlyBytes`), and each is bounded by what the other has given.
"""

from __future__ import annotations

import asyncio

import msgspec

from services.gateway.http.sockets import Peer, reset_connections
from services.gateway.serving.ports import Reply
from shared.access.watcher import AccessWatcher
from shared.digests import is_sha256
from shared.errors import Blocked, OrchardError
from shared.http.conditions import ByteRange
from shared.models import StoredFile
from shared.policy.policy import Policy
from shared.policy.verdict import Subject
from shared.process.bounded import Bounded
from shared.protocols import protocol_named
from shared.protocols.base import PackageProxyBase
from shared.protocols.resource import Redirect, Resource
from shared.protocols.subjects import subject_of
from shared.redis import clock
from shared.telemetry.logs import get_logger

HELD_BYTES = 1024
"""So much of a file's end waits for the verdict; half of a file that is shorter than twice that."""

MOST_FILES = 4096  # files remembered: one that is never sealed is dropped at last

Interval = tuple[int, int]  # [start, end)


def may_go(end: int) -> int:
    """How far unverified bytes may go out before `end`."""
    return end - min(HELD_BYTES, max(1, end // 2))


class EarlyBytes:
    """What went out unverified in one gateway, by the id of the job that fetches the file."""

    def __init__(self) -> None:
        self._out = Bounded[str, list[Interval]](MOST_FILES)

    def note(self, job_id: str, start: int, end: int) -> None:
        """Record that these bytes went out unverified."""
        self._out.put(job_id, _merged([*self._given(job_id), (start, end)]))

    def may_relay(self, job_id: str, start: int, end: int, size_bytes: int) -> bool:
        """Whether a range may be passed through before the verdict: with all that went out it must be no
        more than half of the file."""
        together = _merged([*self._given(job_id), (start, end)])
        return sum(last - first for first, last in together) <= size_bytes // 2

    def limit(self, job_id: str, size_bytes: int) -> int:
        """Offset of the last piece, which every verified transfer of the file holds back."""
        end = size_bytes
        for first, last in self._given(job_id):
            if last == size_bytes and first > 0:
                end = first  # a range gave the last bytes away: hold back what stands before them
        return may_go(end)

    def forget(self, job_id: str) -> None:
        """Drop the record: the file is verified, or will never be."""
        self._out.pop(job_id)

    def _given(self, job_id: str) -> list[Interval]:
        return self._out.get(job_id) or []


def _merged(intervals: list[Interval]) -> list[Interval]:
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


log = get_logger()

MOST_SENT = 8192  # connections that are remembered to have been sent a file


class Pass(msgspec.Struct, frozen=True):
    """What the policy can match of a body."""

    of: Subject
    dated: bool = False  # a file, whose age counts; a page was made of what may be shown
    page: bool = False  # such a page

    def check(self, policy: Policy, now: float) -> None:
        """Raises `Blocked`, `TooYoung`; of what nobody has judged yet too."""
        if self.dated:
            policy.check_file(self.of, now)
        elif policy.any and self.page:
            policy.check(self.of.protocol, self.of.project, self.of.version, page=True)
        elif policy.any:
            told = self.of.sha256 if is_sha256(self.of.sha256) else ""
            policy.check_digest(told)
            policy.check_address(self.of.protocol, self.of.project, self.of.version, told)

    def refused(self, policy: Policy, now: float) -> Blocked | None:
        """Why it may surely not go out. What a rule lacks a fact of was let out when that was known: it goes
        on, and is judged anew when it is next asked for. None too while no advisories are known."""
        try:
            if self.dated:
                policy.check_surely(self.of, now)
            elif policy.any:
                of = self.of
                policy.check_named(of.protocol, of.project, of.version, of.sha256, page=self.page)
                policy.check_digest(of.sha256)
        except Blocked as error:
            return error
        return None


class Passage:
    """One body on its way out: a context manager around its sending."""

    __slots__ = ("_gate", "_passages", "_task", "of", "stopped")

    def __init__(self, gate: Gate, passages: set[Passage], of: Pass) -> None:
        self.of = of
        self._gate = gate
        self.stopped: OrchardError | None = None  # why it was ended
        self._passages = passages
        self._task: asyncio.Task[object] | None = None

    def __enter__(self) -> Passage:
        self._task = asyncio.current_task()
        self._passages.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._passages.discard(self)
        self._task = None

    def by_server(self, peer: Peer) -> None:
        """The server sends it by itself, on the connection with `peer`."""
        self._gate.sends(peer, self.of)

    def stop(self, why: OrchardError) -> None:
        """Cancel the task that sends it; that asks `stopped` for the reason."""
        if self._task is not None and self.stopped is None:
            self.stopped = why
            self._task.cancel()


class Gate:
    """The last check before a body goes out; one per gateway."""

    def __init__(self, access: AccessWatcher) -> None:
        self._access = access
        self._passages: set[Passage] = set()
        self.by_path: dict[Peer, Pass] = {}
        """The last file that the server sent by itself on a connection. Nobody tells when it has ended, so
        the connection's next request takes it out; a closed connection's is replaced, or crowded out."""
        self.early = EarlyBytes()

    def check(self, protocol: PackageProxyBase, resource: Resource) -> None:
        """Raises `Blocked` for what is blocked by what its address tells."""
        if self._access.policy.any:
            of = Pass(subject_of(protocol, resource), page=resource.kind != "artifact")
            of.check(self._access.policy, clock.now())

    def admits(self, resource: Resource, facts: StoredFile) -> bool:
        """See the port `Judge`."""
        if not self._access.policy.any:
            return True
        of = subject_of(protocol_named(resource.protocol), resource, facts)
        return self._access.policy.admits(of, clock.now())

    def check_bytes(self, sha256: str) -> None:
        """Raises `Blocked` for blocked bytes."""
        self._access.policy.check_digest(sha256)

    def may_pass_on(self, job_id: str, wanted: ByteRange, size_bytes: int | None, promised: str) -> bool:
        """Whether a range of a file that is not sealed may go out before the file is verified; if so it is
        recorded.

        Only where the address promises a SHA-256 (a block by bytes can judge that), and only so much that no
        client has the whole file before it is verified.
        """
        start, end = wanted.start, wanted.start + wanted.length
        if not promised or size_bytes is None or not self.early.may_relay(job_id, start, end, size_bytes):
            return False
        self.early.note(job_id, start, end)
        return True

    async def let_out(
        self, protocol: PackageProxyBase, resource: Resource | Redirect, reply: Reply
    ) -> Passage | None:
        """The last check of a finished reply, since blocks may have come while it was waited for. Returns
        the passage of a body that is not in memory: enter it while it is sent. Raises `Blocked`."""
        in_memory = reply.body is None or isinstance(reply.body, (bytes, memoryview))
        if isinstance(resource, Redirect) or (in_memory and not self._access.policy.any):
            return None
        of = self.pass_of(protocol, resource, reply)
        try:
            of.check(self._access.policy, clock.now())
        except BaseException:  # nobody else closes it
            if reply.body is not None and not isinstance(reply.body, (bytes, memoryview)):
                await reply.body.aclose()
            raise
        return None if in_memory else Passage(self, self._passages, of)

    @staticmethod
    def pass_of(protocol: PackageProxyBase, resource: Resource, reply: Reply) -> Pass:
        """The `Pass` of a reply's body."""
        of = subject_of(protocol, resource, reply.file)
        is_file = resource.kind == "artifact"
        return Pass(of, dated=is_file and reply.status < 400, page=not is_file)

    def sends(self, peer: Peer, of: Pass) -> None:
        """Record that the server is about to send a file by itself."""
        if len(self.by_path) >= MOST_SENT:
            del self.by_path[next(iter(self.by_path))]
        self.by_path[peer] = of

    def recheck(self) -> None:
        """Called when the policy changes: ends the transfers of what it refuses now."""
        policy, now = self._access.policy, clock.now()
        for passage in list(self._passages):
            why = passage.of.refused(policy, now)
            if why is not None:
                passage.stop(why)
        ended = {peer for peer, of in self.by_path.items() if of.refused(policy, now) is not None}
        if ended:
            for peer in ended:
                del self.by_path[peer]
            log.info("sent_files_broken_off", connections=reset_connections(ended))
