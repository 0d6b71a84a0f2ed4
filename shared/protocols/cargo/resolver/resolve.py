"""`CargoResolver`: requests checked, documents prepared, one step of a resolution.

A request's requirements are the `[dependencies]` of a package that has nothing else: the answer is what
`cargo generate-lockfile` would lock for it from scratch, for all platforms, with normal and build
dependencies, and with what enabled features turn on. A crate's own development dependencies are never in it.

Each node's file is fetched by `FetchArtifact(protocol="cargo", project=node.name, file_id=node.file_id,
filename=node.filename)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from shared.errors import InvalidParameter, NotResolvable, ResolutionConflict, ResolutionTooLarge
from shared.models import Extraction, SealedFile
from shared.protocols.cargo import names
from shared.protocols.cargo.index import load_index_file
from shared.protocols.cargo.resolver.environments import DEFAULT_ENVIRONMENT, environment
from shared.protocols.cargo.resolver.features import FeatureCycle
from shared.protocols.cargo.resolver.graph import build_resolution
from shared.protocols.cargo.resolver.learned import Learned
from shared.protocols.cargo.resolver.registry import Crate, Registry, read_crate
from shared.protocols.cargo.resolver.requests import Asked, read_asked
from shared.protocols.cargo.resolver.solver import Solver
from shared.protocols.cargo.resolver.summaries import Summary
from shared.protocols.cargo.semver import Version
from shared.protocols.resolution import (
    MAX_DOCUMENTS,
    Absent,
    Document,
    KnownDocuments,
    NeededDocuments,
    Resolution,
    ResolutionRequest,
    Resolver,
    RootFile,
    Unavailable,
    missing_root,
)


class CargoResolver(Resolver):
    """Cargo's rules: versions as its resolver picks them, features as they turn dependencies on."""

    protocol = "cargo"

    def environment_named(self, name: str) -> str:
        return environment(name or DEFAULT_ENVIRONMENT).name

    def canonical(self, requirements: tuple[str, ...]) -> Iterable[str]:
        spelled: dict[str, str] = {}
        for asked in map(read_asked, requirements):
            project = names.canonical(asked.name)
            if spelled.setdefault(project, asked.text) != asked.text:
                raise InvalidParameter(f"requirements: {asked.name} is asked for twice")
        return spelled.values()

    def prepare_index(self, body: bytes) -> Crate:
        return read_crate(load_index_file(body))

    def with_sealed(self, index: Crate, sealed: Mapping[tuple[str, str], SealedFile]) -> Crate:
        return read_crate(index.file, sealed) if sealed else index

    def prepare_metadata(self, document: Document, raw: bytes | Extraction) -> Absent:
        return Absent("a crate's dependencies are in its index")

    def resolve(
        self,
        request: ResolutionRequest,
        root: RootFile | None,
        known: KnownDocuments,
        *,
        give_up: Callable[[], bool] = lambda: False,
    ) -> Resolution | NeededDocuments:
        if len(known.documents) > MAX_DOCUMENTS:
            raise ResolutionTooLarge(f"more than {MAX_DOCUMENTS} documents would be needed")
        search = known.memo.get("search")
        if search is None:
            search = known.memo["search"] = _Search()
        while True:
            missing = [each for each in search.waiting if each not in known.documents]
            if missing:
                return NeededDocuments(tuple(missing))
            search.visible.update(search.waiting)
            outcome = _pass(request, root, known, search, give_up)
            if isinstance(outcome, Resolution):
                return outcome
            search.waiting = outcome.documents


class _Search(msgspec.Struct):
    """What passes hand on. Each sees the documents that those before it asked for, whatever is known by now.

    So the answer depends on the documents alone, though what a pass has learned from fewer of them is kept:
    now and then that decides where the search goes back to, and cargo, which asks its registry in just such
    passes, keeps it.
    """

    visible: set[Document] = msgspec.field(default_factory=set)
    waiting: tuple[Document, ...] = ()
    learned: Learned = msgspec.field(default_factory=Learned)


def _pass(
    request: ResolutionRequest,
    root: RootFile | None,
    known: KnownDocuments,
    search: _Search,
    give_up: Callable[[], bool],
) -> Resolution | NeededDocuments:
    """Resolve with the documents that may be seen, without the dependencies of which the crate may not."""
    before = datetime.fromisoformat(request.as_of).timestamp() if request.as_of else None
    registry = Registry(known, environment(request.environment), before, search.visible)
    if root is None:
        asked = sorted(map(read_asked, request.requirements), key=lambda each: each.name)
        _check_roots(asked, registry)
        wanted = [registry.asked(each.entry) for each in asked]
    else:
        found = _root_summary(root, registry)
        if isinstance(found, NeededDocuments):
            return found
        wanted = [registry.asked(Asked(found.name, f"={found.version.text}").entry)]
        registry.given[wanted[0]] = found
    if request.include_optional:
        registry.with_all_features.update(wanted)
    package = known.memo.get("package")
    if package is None:
        package = known.memo["package"] = Summary("", _NO_VERSION, tuple(wanted), {})
    solver = Solver(registry, search.learned, give_up)
    try:
        solver.solve(package)
    except FeatureCycle as error:
        raise ResolutionConflict(str(error)) from None
    if registry.needs:
        return NeededDocuments(tuple(registry.needs))
    return build_resolution(request, solver.state, registry)


_NO_VERSION = Version("0.0.0", (0, 0, 0), "", "")


def _check_roots(asked: Sequence[Asked], registry: Registry) -> None:
    for each in asked:
        crate = registry.crate(each.name)
        if isinstance(crate, Absent):
            raise missing_root(f"cargo: {each.name}", crate)


def _root_summary(root: RootFile, registry: Registry) -> Summary | NeededDocuments:
    """The stored file's version, as the index tells of it: yanked ones too, since the file is given."""
    crate = registry.crate(root.project)
    if crate is None:
        return NeededDocuments(tuple(registry.needs))
    if isinstance(crate, Absent | Unavailable):
        raise NotResolvable(f"{root.filename}: {crate.reason}")
    for _, line in crate.lines:
        if names.filename(line.name, line.version) == root.filename:
            found = registry.summary(line.name, line)
            if isinstance(found, Summary):
                return found
            raise NotResolvable(f"{root.filename}: {found}")
    raise NotResolvable(f"{root.filename}: the index of {root.project} has no such version")


# --- requests ---------------------------------------------------------------------------------------
