"""From resolved graphs and stored files to the lock. Deterministic: the same of these, the same bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.extractor.ensure_fetching import BATCH, documents_of
from services.extractor.ensure_state import EnsureProgress, EnsureWork
from shared.clients.object_verify import read_whole
from shared.clients.objects import ObjectStore
from shared.clients.threads import BoundedThreads
from shared.ensure_file import EnsureFile
from shared.ensure_lock import (
    LOCK_FORMAT,
    Lock,
    LockedDocument,
    LockedGraph,
    LockedPackage,
    LockedProtocol,
    Missing,
)
from shared.ensures import EnsureRepository
from shared.errors import ObjectMissing, UpstreamInvalid
from shared.jobs import FetchArtifact
from shared.protocols.base import PackageProxyBase
from shared.protocols.resolution import Node, Resolution, Unresolved

READS_AT_ONCE = 8

Manifests = Mapping[tuple[str, str], dict[str, Any]]
"""By name and version: what lock files tell of it."""


class Locksmith:
    """Shared by all ensures of a process."""

    def __init__(
        self,
        *,
        ensures: EnsureRepository,
        store: ObjectStore,
        threads: BoundedThreads,
        protocols: Mapping[str, PackageProxyBase],
    ) -> None:
        self._ensures = ensures
        self._store = store
        self._threads = threads
        self._protocols = protocols

    async def make(self, key: str, file: EnsureFile, work: EnsureWork, progress: EnsureProgress) -> Lock:
        """The lock. Raises what the stores raise."""
        protocols: dict[str, LockedProtocol] = {}
        missing: list[Missing] = []
        for plan in file.plans:
            protocol = self._protocols[plan.protocol]
            resolutions = [work.resolutions[request.key] for request in plan.requests]
            manifests = await self._manifests(protocol, resolutions)
            make = _Graphs(protocol, work, progress, manifests, missing)
            graphs = [await self._threads.run(make.graph, each) for each in resolutions]
            first = graphs.pop(0) if plan.request is not None else _no_roots(plan.plugins[0].environment)
            protocols[plan.protocol] = LockedProtocol(
                **{name: getattr(first, name) for name in LockedGraph.__struct_fields__}, plugins=graphs
            )
        return Lock(
            format=LOCK_FORMAT,
            key=key,
            ensure=file.canonical,
            complete=not missing,
            files=len(work.facts),
            size_bytes=sum(facts.size_bytes for facts in work.facts.values()),
            protocols=protocols,
            missing=list(dict.fromkeys(missing)),
        )

    async def _manifests(self, protocol: PackageProxyBase, resolutions: Iterable[Resolution]) -> Manifests:
        """What the stored indexes of a protocol tell of the chosen versions."""
        if not protocol.lock_reads_index:
            return {}
        wanted: dict[str, dict[str, None]] = {}
        for resolution in resolutions:
            for node in resolution.nodes:
                wanted.setdefault(node.name, {})[node.version] = None
        found: dict[tuple[str, str], dict[str, Any]] = {}
        names = list(wanted)
        slots = asyncio.Semaphore(READS_AT_ONCE)

        async def read(name: str, key: str) -> None:
            async with slots:
                try:
                    body = await read_whole(self._store, key, self._threads)
                    found.update(
                        await self._threads.run(_lock_fields, protocol, name, body, list(wanted[name]))
                    )
                except (ObjectMissing, UpstreamInvalid):
                    return  # `_Graphs` names the versions of which nothing is told

        for start in range(0, len(names), BATCH):
            identities = {protocol.index_identity(name): name for name in names[start : start + BATCH]}
            keys = await self._ensures.documents(protocol.name, list(identities))
            await asyncio.gather(*(read(identities[identity], key) for identity, key in keys.items()))
        return found


def _lock_fields(
    protocol: PackageProxyBase, name: str, body: bytes, versions: Sequence[str]
) -> dict[tuple[str, str], dict[str, Any]]:
    document = protocol.decode_document(body)
    found = {(name, version): protocol.lock_fields(document, version) for version in versions}
    return {key: fields for key, fields in found.items() if fields is not None}


def _no_roots(environment: str) -> LockedGraph:
    return LockedGraph([], environment, "", [], [])


class _Graphs:
    """Graphs of one protocol; what they lack is added to `missing`."""

    def __init__(
        self,
        protocol: PackageProxyBase,
        work: EnsureWork,
        progress: EnsureProgress,
        manifests: Manifests,
        missing: list[Missing],
    ) -> None:
        self._protocol = protocol
        self._work = work
        self._progress = progress
        self._manifests = manifests
        self._missing = missing

    def graph(self, resolution: Resolution) -> LockedGraph:
        """One resolution with its files as they are stored."""
        targets: dict[str, dict[str, None]] = {}
        for edge in resolution.edges:
            targets.setdefault(edge.source, {})[edge.target] = None
        roots = list(targets.get("", ())) or [node.purl for node in resolution.nodes if node.depth == 0]
        self._missing += [_told(self._protocol.name, one) for one in resolution.unresolved if one.passing]
        request = resolution.request
        return LockedGraph(
            requirements=list(request.requirements),
            environment=request.environment,
            resolution=resolution.key,
            roots=sorted(roots),
            packages=[self._package(resolution, node, targets) for node in resolution.nodes],
            documents=self._documents(resolution),
            unresolved=[_told(self._protocol.name, one) for one in resolution.unresolved if not one.passing],
            stale=list(resolution.stale),
        )

    def _package(
        self, resolution: Resolution, node: Node, targets: Mapping[str, Iterable[str]]
    ) -> LockedPackage:
        job = FetchArtifact(
            protocol=self._protocol.name, project=node.name, file_id=node.file_id, filename=node.filename
        )
        facts = self._work.facts.get(job.id)
        sha256, size_bytes = (facts.sha256, facts.size_bytes) if facts is not None else ("", 0)
        manifest: dict[str, Any] = {}
        if facts is None and resolution.complete and node.filename and not node.inert:
            self._lacks(job)
        elif facts is not None and node.sha256 and facts.sha256 != node.sha256:
            self._lacks(job, "other bytes are stored here under its name than its index tells")
        elif resolution.complete and self._protocol.lock_reads_index:
            told = self._manifests.get((node.name, node.version))
            if told is None:
                self._lacks(job, "its registry's document of this version is not there any more")
            manifest = told or {}
        return LockedPackage(
            purl=node.purl,
            name=node.name,
            version=node.version,
            filename=node.filename,
            sha256=sha256,
            size_bytes=size_bytes,
            path=self._path(job) if node.filename else "",
            dependencies=sorted(targets.get(node.purl, ())),
            integrity=node.integrity,
            locations=node.locations,
            extras=node.extras,
            scope=node.scope,
            optional=node.optional,
            yanked=node.yanked,
            inert=node.inert,
            manifest=manifest,
        )

    def _documents(self, resolution: Resolution) -> list[LockedDocument]:
        found = []
        for job_id, file in documents_of(self._protocol, resolution).items():
            facts = self._work.facts.get(job_id)
            if facts is None:
                self._lacks(file.job)
                continue
            found.append(
                LockedDocument(
                    name=file.job.project,
                    version=file.version,
                    filename=file.job.filename,
                    sha256=facts.sha256,
                    size_bytes=facts.size_bytes,
                    path=self._path(file.job),
                )
            )
        return sorted(found, key=lambda each: (each.name, each.version, each.filename))

    def _path(self, job: FetchArtifact) -> str:
        path = self._protocol.artifact_path(job.project, job.file_id, job.filename)
        return f"/{self._protocol.name}{path}"

    def _lacks(self, job: FetchArtifact, reason: str = "") -> None:
        failure = self._progress.failed.get(job.id)
        passing = failure.passing if failure is not None else True
        if not reason:
            reason = failure.reason if failure is not None else "it was not fetched"
        self._missing.append(Missing(self._protocol.name, job.project, reason, job.filename, passing=passing))


def _told(protocol: str, one: Unresolved) -> Missing:
    return Missing(protocol, one.name, one.reason, "", one.wanted_by, one.requirement, one.passing)
