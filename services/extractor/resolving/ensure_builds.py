"""What the source archives of an ensure must be built with: environments, each a resolution of its own.

Installers build a source archive in an environment that holds what it asks for, newest versions first,
whatever is installed beside (PEP 517, "Build environment"). What such an environment holds may be a source
archive too, and so on. Archives are read in the sandbox; nothing of them is run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from services.extractor.extraction.sandbox.parent import Sandbox
from services.extractor.resolving.progress import BuildRequest, EnsureProgress, EnsureWork
from shared.errors import InvalidParameter, ResolutionTooLarge
from shared.errors.passing import ObjectMissing
from shared.models import BuildNeeds, StoredFile
from shared.protocols.base import PackageProxyBase
from shared.protocols.graphs import find_cycles
from shared.protocols.lock import Missing
from shared.protocols.resolution import Node, Resolution, ResolutionRequest, Resolver
from shared.queue.jobs import FetchArtifact
from shared.resolving.ensure_file import Plan

MOST_ENVIRONMENTS = 200  # of one protocol
MAX_TEXT = 200  # characters of a requirement, as it is told


class BuildEnvironment(msgspec.Struct):
    """One environment. `request`: None where it needs nothing, or nobody can tell what."""

    request: ResolutionRequest | None
    builds: set[str]  # purls of what is built in it
    unresolved: list[Missing] = []


Environments = dict[str, BuildEnvironment]
"""Of one protocol: by the key of the request, or the purl of the one package that has none."""


class BuildFinder:
    """Shared by all ensures of a process."""

    def __init__(self, *, sandbox: Sandbox, protocols: Mapping[str, PackageProxyBase]) -> None:
        self._sandbox = sandbox
        self._protocols = protocols

    async def read(self, work: EnsureWork) -> None:
        """Read what the stored source archives tell, each once. Raises passing errors of the stores."""
        wanted: dict[str, tuple[str, str, StoredFile]] = {}
        for job_id, file in (work.files or {}).items():
            facts = work.facts.get(job_id)
            known = facts is None or facts.sha256 in work.needs
            if not known and self._protocols[file.job.protocol].archive.is_built(file.job.filename):
                assert facts is not None
                wanted[facts.sha256] = file.job.protocol, file.job.filename, facts
        read = await asyncio.gather(*(self._read(*each) for each in wanted.values()))
        work.needs.update(zip(wanted, read, strict=True))

    async def _read(self, protocol: str, filename: str, facts: StoredFile) -> BuildNeeds:
        try:
            return await self._sandbox.build_needs(
                protocol=protocol,
                filename=filename,
                sha256=facts.sha256,
                key=facts.object_key,
                size_bytes=facts.size_bytes,
            )
        except ObjectMissing as error:
            return BuildNeeds(reason=error.message)


def environments_of(
    protocol: PackageProxyBase, plan: Plan, work: EnsureWork, progress: EnsureProgress
) -> Environments:
    """The environments that are known by now: of what is resolved and stored. Raises
    `ResolutionTooLarge`."""
    if protocol.resolver is None:
        return {}
    found = _Found(protocol, protocol.resolver, plan, work, progress)
    found.follow()
    return found.environments


class _Found:
    """One walk from the graphs of a plan."""

    def __init__(
        self,
        protocol: PackageProxyBase,
        resolver: Resolver,
        plan: Plan,
        work: EnsureWork,
        progress: EnsureProgress,
    ) -> None:
        self.environments: Environments = {}
        self._protocol = protocol
        self._resolver = resolver
        self._like = plan.requests[0]
        self._left = list(plan.requests)
        self._work = work
        self._progress = progress
        self._built: dict[str, set[str]] = {}  # by the key of a request: purls of its source archives
        self._besides: dict[str, set[str]] = {}  # by key: the environments whose backends ask for that, too
        self._read: set[str] = set()  # purls of source archives

    def follow(self) -> None:
        """Until nothing new is known."""
        for request in self._left:  # grows
            resolution = self._work.resolutions.get(request.key)
            if resolution is not None and request.key not in self._built:
                self._built[request.key] = set()
                for node, facts in self._source_archives(resolution):
                    self._built[request.key].add(node.purl)
                    self._add(node, self._work.needs[facts.sha256])
                if request.key in self.environments:
                    self._ask_for_hooks(request, resolution)
        for key, of in self._besides.items():
            self.environments[key].builds.update(*(self.environments[each].builds for each in of))
        self._tell_failures()
        self._tell_cycles()

    def _source_archives(self, resolution: Resolution) -> Iterator[tuple[Node, StoredFile]]:
        for node in resolution.nodes:
            if node.filename and not node.inert and self._protocol.archive.is_built(node.filename):
                job = FetchArtifact(self._protocol.name, node.name, node.file_id, node.filename)
                facts = self._work.facts.get(job.id)
                if facts is not None and facts.sha256 in self._work.needs:
                    yield node, facts

    def _add(self, node: Node, needs: BuildNeeds) -> None:
        """What one package is built with."""
        if node.purl in self._read:  # in another graph, too
            return
        self._read.add(node.purl)
        request, faults = self._request(needs.requirements)
        unresolved = [self._missing(node.name, reason, node.purl, text) for text, reason in faults]
        if needs.reason:
            unresolved.append(self._missing(node.name, needs.reason, node.purl))
        if request is None:
            self.environments[node.purl] = BuildEnvironment(None, {node.purl}, unresolved)
            return
        environment = self._environment(request)
        environment.builds.add(node.purl)
        environment.unresolved += unresolved

    def _request(self, requirements: Sequence[str]) -> BuildRequest:
        """Made once of equal requirements: an ensure is stepped often."""
        key = (self._protocol.name, *requirements)
        known = self._work.build_requests.get(key)
        if known is not None:
            return known
        usable: list[str] = []
        faults: list[tuple[str, str]] = []
        for text in requirements:
            try:
                usable += self._resolver.canonical((text,))
            except InvalidParameter as error:
                faults.append((text[:MAX_TEXT], error.message.partition(": ")[2] or error.message))
        request = None
        if usable:
            request = self._resolver.request(
                requirements=tuple(usable),
                max_depth=self._like.max_depth,
                environment=self._like.environment,
                as_of=self._like.as_of,
            )
        self._work.build_requests[key] = request, faults
        return request, faults

    def _environment(self, request: ResolutionRequest) -> BuildEnvironment:
        if request.key not in self.environments:
            if len(self.environments) == MOST_ENVIRONMENTS:
                raise ResolutionTooLarge(
                    f"{self._protocol.name}: source archives need more than {MOST_ENVIRONMENTS} environments"
                )
            self.environments[request.key] = BuildEnvironment(request, set())
            self._left.append(request)
        return self.environments[request.key]

    def _ask_for_hooks(self, request: ResolutionRequest, resolution: Resolution) -> None:
        more = self._protocol.locks.hook_requirements({node.name: node.version for node in resolution.nodes})
        besides, _ = self._request(more)
        if besides is not None:
            self._environment(besides)
            self._besides.setdefault(besides.key, set()).add(request.key)

    def _tell_failures(self) -> None:
        for key, environment in self.environments.items():
            failure = self._progress.unbuildable.get(key)
            if failure is not None:
                first, *_ = sorted(environment.builds)
                name = ", ".join(environment.request.requirements)[:MAX_TEXT] if environment.request else ""
                environment.unresolved.append(self._missing(name, failure, first))

    def _tell_cycles(self) -> None:
        """What cannot be built since it would have to be built before."""
        targets: dict[str, set[str]] = {}
        for key, environment in self.environments.items():
            for purl in environment.builds:
                targets.setdefault(purl, set()).update(self._built.get(key, ()))
        for cycle in find_cycles(targets, set(targets)):
            reason = f"it is built with itself: {', '.join(cycle)}"
            for environment in self.environments.values():
                built = sorted(environment.builds.intersection(cycle))
                environment.unresolved += [self._missing(purl, reason, purl) for purl in built]

    def _missing(self, name: str, reason: str, purl: str, requirement: str = "") -> Missing:
        return Missing(self._protocol.name, name, reason, wanted_by=purl, requirement=requirement)
