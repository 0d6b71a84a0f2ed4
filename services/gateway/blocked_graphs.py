"""Kept answers that name something blocked: they stay kept, and are not given out while the block stands."""

from __future__ import annotations

import msgspec

from shared.access_watcher import AccessWatcher
from shared.blocks import Blocks
from shared.errors import Blocked
from shared.protocols import PROTOCOLS

REMEMBERED = 256  # verdicts; then all are forgotten


class _Node(msgspec.Struct):
    name: str = ""
    version: str = ""
    sha256: str = ""


class _Request(msgspec.Struct):
    protocol: str = ""


class _Locked(msgspec.Struct):
    packages: list[_Node] = []


class _Answer(msgspec.Struct):
    """What a graph and a lock have in common, as far as blocks go."""

    request: _Request = msgspec.field(default_factory=_Request)
    nodes: list[_Node] = []
    protocols: dict[str, _Locked] = {}


_decode = msgspec.json.Decoder(_Answer).decode
_PROTOCOLS = {protocol.name: protocol for protocol in PROTOCOLS}


class BlockedGraphs:
    """Of one gateway. A verdict is worked out once per body and change of blocks."""

    def __init__(self, watcher: AccessWatcher) -> None:
        self._watcher = watcher
        self._blocks: Blocks | None = None
        self._verdicts: dict[bytes, str] = {}

    def why(self, body: bytes) -> str:
        """What a graph or lock names that is blocked, "" for nothing."""
        blocks = self._watcher.blocks
        if not blocks.any:
            return ""
        if blocks is not self._blocks:
            self._blocks = blocks
            self._verdicts.clear()
        verdict = self._verdicts.get(body)
        if verdict is None:
            if len(self._verdicts) >= REMEMBERED:
                self._verdicts.clear()
            verdict = self._verdicts[body] = _why(body, blocks)
        return verdict

    def check(self, body: bytes) -> None:
        """Raises `Blocked` for a graph or lock that names something blocked."""
        why = self.why(body)
        if why:
            raise Blocked(f"{why}; refresh=true works the answer out without it")


def _why(body: bytes, blocks: Blocks) -> str:
    try:
        answer = _decode(body)
    except msgspec.MsgspecError:
        return ""
    parts = [(answer.request.protocol, answer.nodes)]
    parts += [(name, locked.packages) for name, locked in answer.protocols.items()]
    for name, nodes in parts:
        protocol = _PROTOCOLS.get(name)
        for node in nodes:
            try:
                if protocol is not None:
                    project = protocol.canonical_name(node.name)
                    blocks.check(name, project, protocol.canonical_version(node.version))
                if node.sha256:
                    blocks.check_digest(node.sha256)
            except Blocked as error:
                return error.message
    return ""
