"""Stored graphs and locks that name something which may not be served: they stay stored, and are refused as
long as that is so."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

import msgspec

from shared.access.watcher import AccessWatcher
from shared.errors import Blocked, TooYoung
from shared.judging.listings import Listing, load_listing
from shared.judging.verdicts import judge
from shared.policy.policy import Policy
from shared.policy.project import NOTHING
from shared.policy.verdict import UNKNOWN
from shared.process.bounded import Bounded
from shared.process.threads import BoundedThreads
from shared.protocols import find_protocol
from shared.protocols.base import PackageProxyBase
from shared.redis import clock
from shared.stores import Stores

REMEMBERED = 256  # verdicts
REMEMBERED_BYTES = 32 * 1024 * 1024  # of the bodies whose results are remembered: locks have megabytes
LISTS_AT_ONCE = 8

REFRESH = "refresh=true works the answer out without it"


class _Node(msgspec.Struct, frozen=True):
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
    builds: list[_Graph] = []


class _Answer(msgspec.Struct):
    """The fields of a graph or a lock that a rule can match."""

    request: _Request = msgspec.field(default_factory=_Request)
    nodes: list[_Node] = []
    documents: list[_Document] = []
    protocols: dict[str, _Locked] = {}


_decode = msgspec.json.Decoder(_Answer).decode


class _Found(msgspec.Struct, frozen=True):
    """What a body comes to: what refuses it, until then (unix seconds; 0: until the policy changes)."""

    refused: Blocked | None = None
    until: float = 0.0


class BlockedGraphs:
    """Checks stored answers against the policy. What was found of a body stands until the policy changes, or
    until time makes it another."""

    def __init__(self, watcher: AccessWatcher, stores: Stores, parsers: BoundedThreads) -> None:
        self._watcher = watcher
        self._stores = stores
        self._parsers = parsers
        self._policy: Policy | None = None
        self._verdicts = Bounded[bytes, _Found](REMEMBERED, max_weight=REMEMBERED_BYTES)
        self._lists = asyncio.Semaphore(LISTS_AT_ONCE)

    def is_allowed(self, body: bytes) -> bool:
        """Whether an answer is known to name nothing that may not be served: what memory alone tells."""
        if not self._watcher.policy.any:
            return True
        known = self._known(body)
        return known is not None and known.refused is None

    async def check(self, body: bytes) -> None:
        """Raises `Blocked` or `TooYoung` for a graph or lock that names what may not be served;
        `DatabaseUnavailable` where that cannot be told."""
        policy = self._watcher.policy
        if not policy.any:
            return
        found = self._known(body)
        if found is None:
            found = await self._judge(body, policy)
            if policy is self._policy:
                self._verdicts.put(body, found, len(body))
        if found.refused is not None:
            raise type(found.refused)(found.refused.message)

    def _known(self, body: bytes) -> _Found | None:
        if self._watcher.policy is not self._policy:
            self._policy = self._watcher.policy
            self._verdicts.clear()
        known = self._verdicts.get(body)
        return None if known is not None and known.until and clock.now() >= known.until else known

    async def _judge(self, body: bytes, policy: Policy) -> _Found:
        policy.look()
        projects: dict[tuple[str, str], tuple[PackageProxyBase, set[_Node]]] = {}
        try:
            for protocol, node in _named(body):
                policy.check_digest(node.sha256)
                verdicts = NOTHING if protocol is None else policy.of(protocol.name, node.name)
                found = verdicts.by_hand(node.version, node.sha256)
                is_all = bool(node.sha256) or not verdicts.exempt_digests  # that operators may have said
                if found is not None and not found.allowed and is_all:
                    raise found.refusal(f"{node.name} {node.version}")
                if protocol is not None and verdicts.asks_more:
                    projects.setdefault((protocol.name, node.name), (protocol, set()))[1].add(node)
        except msgspec.MsgspecError:  # what cannot be judged is not given out
            return _Found(Blocked("this kept answer cannot be read, and there are rules"))
        except Blocked as error:
            return _Found(type(error)(f"{error.message}; {REFRESH}"))
        founds = await asyncio.gather(
            *(self._of_project(policy, protocol, nodes) for protocol, nodes in projects.values())
        )
        refused = next((each for each in founds if each.refused is not None), None)
        return refused or _Found(until=_first(each.until for each in founds))

    async def _of_project(self, policy: Policy, protocol: PackageProxyBase, nodes: set[_Node]) -> _Found:
        """`nodes`: all of one project."""
        async with self._lists:
            listing = await load_listing(self._stores, protocol, next(iter(nodes)).name)
            return await self._parsers.run(_of_listing, policy, protocol, listing, nodes)


def _of_listing(policy: Policy, protocol: PackageProxyBase, listing: Listing, nodes: set[_Node]) -> _Found:
    judged = judge(protocol, listing, policy, clock.now())
    ends: list[float] = []
    for node in sorted(nodes, key=lambda node: (node.version, node.sha256)):
        verdict = judged.verdict(node.version, node.sha256)
        noun = f"{listing.project} {node.version}"
        if verdict is None or verdict is UNKNOWN:
            return _Found(TooYoung(f"{noun} is held back: nobody knows when it was published; {REFRESH}"))
        if not verdict.allowed:
            refused = verdict.refusal(noun)
            return _Found(type(refused)(f"{refused.message}; {REFRESH}"), verdict.until)
        ends.append(verdict.until)
    return _Found(until=_first(ends))


def _first(ends: Iterable[float]) -> float:
    """When what is allowed for a time alone is to be judged again."""
    return min(filter(None, ends), default=0.0)


def _named(body: bytes) -> Iterator[tuple[PackageProxyBase | None, _Node]]:
    """All that an answer names, with names and versions canonical, and its protocol; None: one that is not
    known. Raises `msgspec.MsgspecError`."""
    answer = _decode(body)
    documents = [_Node(each.project, each.file_id) for each in answer.documents]
    parts = [(answer.request.protocol, answer.nodes), (answer.request.protocol, documents)]
    for name, locked in answer.protocols.items():
        for graph in (locked, *locked.apart, *locked.builds):
            parts += [(name, graph.packages), (name, graph.documents)]
    for name, nodes in parts:
        protocol = find_protocol(name)
        for node in nodes:
            if protocol is None:
                yield None, node
                continue
            version = protocol.names.canonical_version(node.version)
            yield protocol, _Node(protocol.names.canonical_name(node.name), version, node.sha256)
