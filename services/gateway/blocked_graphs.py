"""Kept answers that name something blocked: they stay kept, and are not given out while the block stands."""

from __future__ import annotations

import msgspec

from shared.access_watcher import AccessWatcher
from shared.blocks import Blocks
from shared.errors import Blocked
from shared.protocols import PROTOCOLS

REMEMBERED = 256  # verdicts; then all are forgotten
REMEMBERED_BYTES = 32 * 1024 * 1024  # of the bodies that they are of: a lock may have megabytes


class _Node(msgspec.Struct):
    name: str = ""
    version: str = ""
    sha256: str = ""


class _Document(msgspec.Struct):
    """A POM that a graph was made of; its file id is its version."""

    project: str = ""
    file_id: str = ""


class _Request(msgspec.Struct):
    protocol: str = ""


class _Graph(msgspec.Struct):
    packages: list[_Node] = []
    documents: list[_Node] = []


class _Locked(_Graph):
    plugins: list[_Graph] = []


class _Answer(msgspec.Struct):
    """What a graph and a lock have in common, as far as blocks go."""

    request: _Request = msgspec.field(default_factory=_Request)
    nodes: list[_Node] = []
    documents: list[_Document] = []
    protocols: dict[str, _Locked] = {}


_decode = msgspec.json.Decoder(_Answer).decode
_PROTOCOLS = {protocol.name: protocol for protocol in PROTOCOLS}


class BlockedGraphs:
    """Of one gateway. A verdict is worked out once per body and change of blocks."""

    def __init__(self, watcher: AccessWatcher) -> None:
        self._watcher = watcher
        self._blocks: Blocks | None = None
        self._verdicts: dict[bytes, str] = {}
        self._held = 0  # bytes

    def why(self, body: bytes) -> str:
        """What a graph or lock names that is blocked, "" for nothing."""
        blocks = self._watcher.blocks
        if not blocks.any:
            return ""
        if blocks is not self._blocks:
            self._blocks = blocks
            self._forget()
        verdict = self._verdicts.get(body)
        if verdict is None:
            verdict = _why(body, blocks)
            if len(self._verdicts) >= REMEMBERED or self._held + len(body) > REMEMBERED_BYTES:
                self._forget()
            if len(body) <= REMEMBERED_BYTES:
                self._verdicts[body] = verdict
                self._held += len(body)
        return verdict

    def _forget(self) -> None:
        self._verdicts.clear()
        self._held = 0

    def check(self, body: bytes) -> None:
        """Raises `Blocked` for a graph or lock that names something blocked."""
        why = self.why(body)
        if why:
            raise Blocked(f"{why}; refresh=true works the answer out without it")


def _why(body: bytes, blocks: Blocks) -> str:
    try:
        answer = _decode(body)
    except msgspec.MsgspecError:  # what cannot be judged is not given out
        return "this kept answer cannot be read, and there are blocks"
    documents = [_Node(each.project, each.file_id) for each in answer.documents]
    parts = [(answer.request.protocol, answer.nodes), (answer.request.protocol, documents)]
    for name, locked in answer.protocols.items():
        for graph in (locked, *locked.plugins):
            parts += [(name, graph.packages), (name, graph.documents)]
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
