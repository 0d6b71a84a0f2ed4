"""The one gate: may these bytes go out, and are they verified? (docs/decisions/0020-one-gate.md)

Every way to an answer comes through here: `check` before anything is looked up, `check_bytes` once their
digest is known, `may_pass_on` for a range that nobody has hashed, and a `Passage` around every body, so
that a block made meanwhile ends it.
"""

from __future__ import annotations

import asyncio

import msgspec

from services.gateway.early_bytes import EarlyBytes
from services.gateway.sockets import Peer, reset_connections
from shared.access_watcher import AccessWatcher
from shared.blocks import Blocks
from shared.errors import Blocked
from shared.logs import get_logger
from shared.protocols.base import PackageProxyBase, Redirect
from shared.protocols.conditions import ByteRange
from shared.protocols.ports import Reply
from shared.protocols.resource import Resource

log = get_logger()

MOST_SENT = 8192  # connections that are remembered to have been sent a file


class Pass(msgspec.Struct, frozen=True):
    """What a body is of, as far as blocks go."""

    protocol: str
    project: str
    version: str  # canonical; "" for none
    sha256: str  # "" where it is not known yet

    def check(self, blocks: Blocks) -> None:
        """Raises `Blocked` for what is blocked by its name, its version or its bytes, as far as known."""
        if blocks.any:
            blocks.check(self.protocol, self.project, self.version)
            blocks.check_digest(self.sha256)


class Passage:
    """One body on its way out: a context manager around its sending."""

    __slots__ = ("_gate", "_passages", "_task", "of", "stopped")

    def __init__(self, gate: Gate, passages: set[Passage], of: Pass) -> None:
        self.of = of
        self._gate = gate
        self.stopped: Blocked | None = None  # why it was ended
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

    def stop(self, why: Blocked) -> None:
        """Cancel the task that sends it; that asks `stopped` for the reason."""
        if self._task is not None and self.stopped is None:
            self.stopped = why
            self._task.cancel()


class Gate:
    """Of one gateway."""

    def __init__(self, access: AccessWatcher) -> None:
        self._access = access
        self._passages: set[Passage] = set()
        self.by_path: dict[Peer, Pass] = {}
        """The last file that the server sent by itself on a connection. Nobody tells when it has ended, so
        the connection's next request takes it out; a closed connection's is replaced, or crowded out."""
        self.early = EarlyBytes()

    def check_bytes(self, sha256: str) -> None:
        """Raises `Blocked` for blocked bytes."""
        self._access.blocks.check_digest(sha256)

    def may_pass_on(self, job_id: str, wanted: ByteRange, size_bytes: int | None, promised: str) -> bool:
        """Whether a range of a file that is not sealed may go out before the verdict; if so it is noted.

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
        """The last look at a finished reply: work was waited for, and blocks may have come. The passage of a
        body that is not in memory: enter it while it is sent. Raises `Blocked`."""
        in_memory = reply.body is None or isinstance(reply.body, (bytes, memoryview))
        if isinstance(resource, Redirect) or (in_memory and not self._access.blocks.any):
            return None
        of = self.pass_of(protocol, resource, reply)
        try:
            of.check(self._access.blocks)
        except Blocked:
            if reply.body is not None and not isinstance(reply.body, (bytes, memoryview)):
                await reply.body.aclose()
            raise
        return None if in_memory else Passage(self, self._passages, of)

    @staticmethod
    def pass_of(protocol: PackageProxyBase, resource: Resource, reply: Reply) -> Pass:
        """What the body of a reply is of."""
        version = protocol.version_asked(resource)
        return Pass(resource.protocol, resource.project, version, reply.sha256 or resource.file_id)

    def sends(self, peer: Peer, of: Pass) -> None:
        """The server is about to send a file by itself."""
        if len(self.by_path) >= MOST_SENT:
            del self.by_path[next(iter(self.by_path))]
        self.by_path[peer] = of

    def recheck(self) -> None:
        """The blocks have changed: end what may not go on."""
        for passage in list(self._passages):
            try:
                passage.of.check(self._access.blocks)
            except Blocked as error:
                passage.stop(error)
        ended = {peer for peer, of in self.by_path.items() if self._is_blocked(of)}
        if ended:
            for peer in ended:
                del self.by_path[peer]
            log.info("sent_files_broken_off", connections=reset_connections(ended))

    def _is_blocked(self, of: Pass) -> bool:
        try:
            of.check(self._access.blocks)
        except Blocked:
            return True
        return False
