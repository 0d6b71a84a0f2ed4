"""`PyPIResolver`: requests checked, documents prepared, one step of a resolution."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from packaging import requirements as pep508
from packaging.requirements import InvalidRequirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from resolvelib import BaseReporter, ResolutionImpossible, ResolutionTooDeep
from resolvelib import Resolver as Solver

from shared.errors import InvalidParameter, NotResolvable, ResolutionTooLarge
from shared.models import Extraction, SealedFile
from shared.protocols.pypi import names
from shared.protocols.pypi.resolver.candidates import Page, PageFile, parse_filename, read_page, with_sealed
from shared.protocols.pypi.resolver.conflicts import explain
from shared.protocols.pypi.resolver.environments import DEFAULT_ENVIRONMENT, environment
from shared.protocols.pypi.resolver.graph import build_resolution
from shared.protocols.pypi.resolver.model import Declared, Metadata, Requirement
from shared.protocols.pypi.resolver.requirements import BadMetadata, parse_metadata
from shared.protocols.pypi.resolver.solver import EnoughNeeds, Provider
from shared.protocols.resolution import (
    MAX_DOCUMENTS,
    MAX_ROUNDS,
    Absent,
    Document,
    KnownDocuments,
    NeededDocuments,
    Resolution,
    ResolutionRequest,
    Resolver,
    RootFile,
    missing_root,
)

_MAX_REQUIREMENT_CHARACTERS = 2000
_MAX_REQUIREMENTS_OF_FILE = 10_000


class PyPIResolver(Resolver):
    """PyPI's rules, as pip applies them (see solver.py and candidates.py)."""

    protocol = "pypi"

    def environment_named(self, name: str) -> str:
        return environment(name or DEFAULT_ENVIRONMENT).name

    def canonical(self, requirements: tuple[str, ...]) -> Iterable[str]:
        return {_canonical(text) for text in requirements}

    def prepare_index(self, body: bytes) -> Page:
        return read_page(body)

    def with_sealed(self, index: Page, sealed: Mapping[tuple[str, str], SealedFile]) -> Page:
        return with_sealed(index, sealed)

    def prepare_metadata(self, document: Document, raw: bytes | Extraction) -> Metadata | Absent:
        if isinstance(raw, Extraction):
            lines = [dependency.requirement for dependency in raw.dependencies]
            return _metadata(lines, raw.requires_python, raw.extras)
        try:
            fields = parse_metadata(raw)
        except BadMetadata as error:
            return Absent(str(error))
        requires_python = (fields.get("requires_python") or "").strip()
        return _metadata(fields.get("requires_dist", []), requires_python, fields.get("provides_extra", []))

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
        target = environment(request.environment)
        requested = [Declared(pep508.Requirement(text)) for text in request.requirements]
        roots = {one.name for one in requested} if root is None else {root.project}
        provider = Provider(
            known=known,
            environment=target,
            before=datetime.fromisoformat(request.as_of).timestamp() if request.as_of else None,
            all_extras_of=frozenset(roots) if request.include_optional else frozenset(),
            give_up=give_up,
        )
        wanted: list[Requirement] = []
        if root is not None:
            candidate = provider.candidate(root.project, frozenset(), _root_file(root))
            wanted.append(Requirement(root.project, frozenset(), str(candidate), None, candidate))
            provider.order[root.project] = 0
        for at, one in enumerate(requested):
            if provider.applies(one):
                made = list(provider.requirements(one, None))
                provider.order.setdefault(made[0].identifier, at)
                wanted.extend(made)
        try:
            if root is None:
                _check_roots(provider, wanted)
            provider.look_ahead(wanted)
            if provider.needs:
                return NeededDocuments(tuple(provider.needs))
            result = Solver(provider, BaseReporter()).resolve(wanted, max_rounds=MAX_ROUNDS)
        except EnoughNeeds:
            return NeededDocuments(tuple(provider.needs))
        except ResolutionImpossible as error:
            # A run without some documents has fewer constraints: what it cannot solve, nobody can.
            raise explain(error.causes, provider) from None
        except ResolutionTooDeep as error:
            raise ResolutionTooLarge(f"no answer was found in {MAX_ROUNDS} rounds") from error
        if provider.needs:
            return NeededDocuments(tuple(provider.needs))
        return build_resolution(request, provider, wanted, result.mapping)


def _check_roots(provider: Provider, wanted: Iterable[Requirement]) -> None:
    for requirement in wanted:
        chosen = provider.chosen(requirement.name)
        if isinstance(chosen, Absent):
            raise missing_root(f"pypi: {requirement.name}", chosen)


def _root_file(root: RootFile) -> PageFile:
    parsed = parse_filename(root.filename, root.project)
    if parsed is None:
        raise NotResolvable(f"{root.filename} is neither a wheel nor an sdist")
    version, tags = parsed
    return PageFile(
        filename=root.filename,
        file_id=root.file_id,
        sha256=root.sha256,
        size_bytes=root.size_bytes,
        version=version,
        tags=tags,
        build=(),
        requires_python="",
        yanked=False,
        upload_time="",
        metadata=False,
    )


def _metadata(lines: Iterable[str], requires_python: str, extras: Iterable[str]) -> Metadata | Absent:
    requirements: list[Declared] = []
    for line in lines:
        if len(requirements) >= _MAX_REQUIREMENTS_OF_FILE or len(line) > _MAX_REQUIREMENT_CHARACTERS * 5:
            return Absent("the metadata declares more than is read")
        try:
            requirements.append(Declared(pep508.Requirement(line.strip())))
        except (InvalidRequirement, RecursionError, ValueError):
            return Absent(f"the metadata holds an invalid requirement: {ascii(line)[:120]}")
    try:
        python = SpecifierSet(requires_python) if requires_python else None
    except InvalidSpecifier:
        return Absent("the metadata holds an invalid Requires-Python")
    return Metadata(python, tuple(requirements), frozenset(canonicalize_name(extra) for extra in extras))


# --- requests ------------------------------------------------------------------------------------


def _canonical(text: str) -> str:
    if len(text) > _MAX_REQUIREMENT_CHARACTERS:
        raise InvalidParameter(f"requirements: one is longer than {_MAX_REQUIREMENT_CHARACTERS} characters")
    try:
        requirement = pep508.Requirement(text.strip())
    except (InvalidRequirement, RecursionError, ValueError):
        raise InvalidParameter(
            f"requirements: {ascii(text)[:120]} is no requirement (PEP 508), such as 'flask>=3'"
        ) from None
    if requirement.url:
        raise InvalidParameter(f"requirements: {requirement.name} names an address; only names are resolved")
    if not names.is_project(requirement.name):
        raise InvalidParameter(f"requirements: {ascii(requirement.name)[:120]} is no project's name")
    requirement.name = canonicalize_name(requirement.name)
    requirement.extras = {canonicalize_name(extra) for extra in requirement.extras}
    return str(requirement)
