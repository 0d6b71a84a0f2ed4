"""From resolved graphs and stored files to the lock. Deterministic: equal input gives equal bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.extractor.resolving.ensure_builds import Environments, environments_of
from services.extractor.resolving.ensure_fetching import BATCH, documents_of
from services.extractor.resolving.pin_locking import make_lock
from services.extractor.resolving.progress import EnsureProgress, EnsureWork
from services.extractor.resolving.stored import StoredFiles
from shared.access.watcher import AccessWatcher
from shared.errors import UpstreamInvalid
from shared.errors.passing import ObjectMissing
from shared.objects.port import ObjectStore
from shared.objects.verify import read_whole
from shared.process.threads import BoundedThreads
from shared.protocols.base import PackageProxyBase
from shared.protocols.lock import (
    LOCK_FORMAT,
    Lock,
    LockedBuild,
    LockedDocument,
    LockedGraph,
    LockedPackage,
    LockedProtocol,
    Missing,
)
from shared.protocols.resolution import Node, Resolution, Unresolved
from shared.queue.jobs import FetchArtifact
from shared.resolving.ensure_file import EnsureFile
from shared.resolving.pinned import PinnedFiles

READS_AT_ONCE = 8

Manifests = Mapping[tuple[str, str], dict[str, Any]]
"""By name and version: what lock files tell of it."""


class Locksmith:
    """Shared by all ensures of a process."""

    def __init__(
        self,
        *,
        stored: StoredFiles,
        store: ObjectStore,
        threads: BoundedThreads,
        access: AccessWatcher,
        protocols: Mapping[str, PackageProxyBase],
    ) -> None:
        self._stored = stored
        self._store = store
        self._threads = threads
        self._access = access
        self._protocols = protocols

    async def make(
        self, key: str, file: EnsureFile | PinnedFiles, work: EnsureWork, progress: EnsureProgress
    ) -> Lock:
        """The lock. Raises what the stores raise."""
        if isinstance(file, PinnedFiles):
            return await self._threads.run(
                make_lock, key, file, work, progress, self._access.policy, self._protocols
            )
        protocols: dict[str, LockedProtocol] = {}
        missing: list[Missing] = []
        for plan in file.plans:
            protocol = self._protocols[plan.protocol]
            resolutions = [work.resolutions[request.key] for request in plan.requests]
            building = environments_of(protocol, plan, work, progress)
            built = [found for key in building if (found := work.resolutions.get(key)) is not None]
            manifests = await self._manifests(protocol, [*resolutions, *built])
            make = _Graphs(protocol, work, progress, manifests, missing)
            graphs = [await self._threads.run(make.graph, each) for each in resolutions]
            builds = await self._threads.run(make.builds, building, plan.requests[0].environment)
            first = graphs.pop(0) if plan.request is not None else _no_roots(plan.apart[0].environment)
            protocols[plan.protocol] = LockedProtocol(**_fields(first), apart=graphs, builds=builds)
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
        """What the stored indexes of a protocol hold of the chosen versions."""
        if not protocol.locks.lock_reads_index:
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
                    return  # `_Graphs` lists the versions without a manifest

        for start in range(0, len(names), BATCH):
            identities = {
                protocol.grammar.index_identity(name): name for name in names[start : start + BATCH]
            }
            keys = await self._stored.documents(protocol.name, list(identities))
            await asyncio.gather(*(read(identities[identity], key) for identity, key in keys.items()))
        return found


def _lock_fields(
    protocol: PackageProxyBase, name: str, body: bytes, versions: Sequence[str]
) -> dict[tuple[str, str], dict[str, Any]]:
    document = protocol.documents.decode_document(body)
    found = {(name, version): protocol.locks.lock_fields(document, version) for version in versions}
    return {key: fields for key, fields in found.items() if fields is not None}


def _fields(graph: LockedGraph) -> dict[str, Any]:
    return {name: getattr(graph, name) for name in LockedGraph.__struct_fields__}


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
        needs_all = self._protocol.locks.needs_all
        self._missing += [
            _missing(self._protocol.name, one) for one in resolution.unresolved if one.passing or needs_all
        ]
        request = resolution.request
        return LockedGraph(
            requirements=list(request.requirements),
            environment=request.environment,
            resolution=resolution.key,
            roots=sorted(roots),
            packages=[self._package(resolution, node, targets) for node in resolution.nodes],
            documents=self._documents(resolution),
            unresolved=[
                _missing(self._protocol.name, one) for one in resolution.unresolved if not one.passing
            ],
            stale=list(resolution.stale),
        )

    def builds(self, building: Environments, environment: str) -> list[LockedBuild]:
        """What packages are built with, in a stable order."""
        found = []
        for key, each in building.items():
            resolution = self._work.resolutions.get(key)
            graph = self.graph(resolution) if resolution is not None else _no_roots(environment)
            fields = _fields(graph) | {"unresolved": [*graph.unresolved, *each.unresolved]}
            if each.request is not None:
                fields["requirements"] = list(each.request.requirements)
            found.append(LockedBuild(**fields, builds=sorted(each.builds)))
        return sorted(found, key=lambda build: (build.requirements, build.builds))

    def _package(
        self, resolution: Resolution, node: Node, targets: Mapping[str, Iterable[str]]
    ) -> LockedPackage:
        job = FetchArtifact(self._protocol.name, node.name, node.file_id, node.filename)
        facts = self._work.facts.get(job.id)
        sha256, size_bytes = (facts.sha256, facts.size_bytes) if facts is not None else ("", 0)
        manifest: dict[str, Any] = {}
        if facts is None and resolution.complete and node.filename and not node.inert:
            self._lacks(job)
        elif facts is not None and node.sha256 and facts.sha256 != node.sha256:
            self._lacks(job, "other bytes are stored here under its name than its index tells")
        elif resolution.complete and self._protocol.locks.lock_reads_index and node.filename:
            published = self._manifests.get((node.name, node.version))
            if published is None:
                self._lacks(job, "its registry's document of this version is not there any more")
            manifest = published or {}
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
            entries=node.entries,
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
        path = self._protocol.grammar.artifact_path(job.file)
        return self._protocol.mount[:-1] + path

    def _lacks(self, job: FetchArtifact, reason: str = "") -> None:
        failure = self._progress.failed.get(job.id)
        passing = failure.passing if failure is not None else True
        if not reason:
            reason = failure.reason if failure is not None else "it was not fetched"
        self._missing.append(Missing(self._protocol.name, job.project, reason, job.filename, passing=passing))


def _missing(protocol: str, one: Unresolved) -> Missing:
    return Missing(protocol, one.name, one.reason, "", one.wanted_by, one.requirement, one.passing)
