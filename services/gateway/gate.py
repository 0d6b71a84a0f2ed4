"""The one gate: may these bytes go out, and are they verified? (docs/decisions/0020-one-gate.md)

Every way to an answer comes through here: `check` before anything is looked up, `check_bytes` once their
digest is known, `may_pass_on` for a range that nobody has hashed, and a `Passage` around every body, so
that a block made meanwhile ends it.
"""

from __future__ import annotations

import asyncio

from services.gateway.early_bytes import EarlyBytes
from shared.access_watcher import AccessWatcher
from shared.blocks import Blocks
from shared.errors import Blocked
from shared.protocols.base import PackageProxyBase, Redirect
from shared.protocols.conditions import ByteRange
from shared.protocols.ports import Reply
from shared.protocols.resource import Resource


class Passage:
    """One body on its way out: a context manager around its sending."""

    __slots__ = ("_passages", "_task", "named", "sha256", "stopped")

    def __init__(self, passages: set[Passage], named: tuple[str, str, str], sha256: str) -> None:
        self.named = named  # protocol, project, version
        self.sha256 = sha256
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

    def check(self, blocks: Blocks) -> None:
        """Raises `Blocked` for what is blocked by its name, its version or its bytes, as far as known."""
        if blocks.any:
            blocks.check(*self.named)
            blocks.check_digest(self.sha256)

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
        named = (resource.protocol, resource.project, protocol.version_asked(resource))
        passage = Passage(self._passages, named, reply.sha256 or resource.file_id)
        try:
            passage.check(self._access.blocks)
        except Blocked:
            if reply.body is not None and not isinstance(reply.body, (bytes, memoryview)):
                await reply.body.aclose()
            raise
        return None if in_memory else passage

    def recheck(self) -> None:
        """The blocks have changed: end what may not go on."""
        for passage in list(self._passages):
            try:
                passage.check(self._access.blocks)
            except Blocked as error:
                passage.stop(error)
