"""Stored graphs and locks that name something blocked: they stay stored, and are refused while the block
stands."""

from __future__ import annotations

import msgspec

from shared.access.watcher import AccessWatcher
from shared.errors import Blocked
from shared.policy.policy import Policy
from shared.process.bounded import Bounded
from shared.protocols import find_protocol

REMEMBERED = 256  # verdicts
REMEMBERED_BYTES = 32 * 1024 * 1024  # of the bodies whose results are remembered: locks have megabytes


class _Node(msgspec.Struct):
    name: str = ""
    version: str = ""
    sha256: str = ""


class _Document(msgspec.Struct):
    """A document that a graph was made of (`LockedDocument`); its file id is its version."""

    project: str = ""
    file_id: str = ""


class _Request(msgspec.Struct):
    protocol: str = ""


class _Graph(msgspec.Struct):
    packages: list[_Node] = []
    documents: list[_Node] = []


class _Locked(_Graph):
    apart: list[_Graph] = msgspec.field(default_factory=list, name="plugins")


class _Answer(msgspec.Struct):
    """The fields of a graph or a lock that blocks can match."""

    request: _Request = msgspec.field(default_factory=_Request)
    nodes: list[_Node] = []
    documents: list[_Document] = []
    protocols: dict[str, _Locked] = {}


_decode = msgspec.json.Decoder(_Answer).decode


class BlockedGraphs:
    """Checks stored answers against the blocks. A result is computed once per body and change of blocks."""

    def __init__(self, watcher: AccessWatcher) -> None:
        self._watcher = watcher
        self._blocks: Policy | None = None
        self._verdicts = Bounded[bytes, str](REMEMBERED, max_weight=REMEMBERED_BYTES)

    def why(self, body: bytes) -> str:
        """What a graph or lock names that is blocked, "" for nothing."""
        blocks = self._watcher.policy
        if not blocks.any:
            return ""
        if blocks is not self._blocks:
            self._blocks = blocks
            self._verdicts.clear()
        verdict = self._verdicts.get(body)
        if verdict is None:
            verdict = _why(body, blocks)
            self._verdicts.put(body, verdict, len(body))
        return verdict

    def check(self, body: bytes) -> None:
        """Raises `Blocked` for a graph or lock that names something blocked."""
        why = self.why(body)
        if why:
            raise Blocked(f"{why}; refresh=true works the answer out without it")


def _why(body: bytes, blocks: Policy) -> str:
    try:
        answer = _decode(body)
    except msgspec.MsgspecError:  # what cannot be judged is not given out
        return "this kept answer cannot be read, and there are blocks"
    documents = [_Node(each.project, each.file_id) for each in answer.documents]
    parts = [(answer.request.protocol, answer.nodes), (answer.request.protocol, documents)]
    for name, locked in answer.protocols.items():
        for graph in (locked, *locked.apart):
            parts += [(name, graph.packages), (name, graph.documents)]
    for name, nodes in parts:
        protocol = find_protocol(name)
        for node in nodes:
            try:
                if protocol is not None:
                    project = protocol.names.canonical_name(node.name)
                    blocks.check(name, project, protocol.names.canonical_version(node.version))
                if node.sha256:
                    blocks.check_digest(node.sha256)
            except Blocked as error:
                return error.message
    return ""
