"""`NpmResolver`: requests checked, documents prepared, one step of a resolution.

A request's requirements are the `dependencies` of a project, unless its own package.json says of which kind
each of them is (`projects.py`): what `npm install` would write into its lock from scratch. What is locked is
what is given, inert packages included.

Each node's tarball is fetched by `FetchArtifact(protocol="npm", project=node.name, file_id=node.file_id,
filename=node.filename)`; its address here is `/npm/{name}/-/{filename}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

import msgspec

from shared.errors import (
    InvalidParameter,
    NotResolvable,
    ResolutionConflict,
    ResolutionTooLarge,
)
from shared.models import Extraction, SealedFile
from shared.protocols.npm import names
from shared.protocols.npm.resolver import inner
from shared.protocols.npm.resolver.environments import DEFAULT_ENVIRONMENT, environment
from shared.protocols.npm.resolver.graph import build_resolution
from shared.protocols.npm.resolver.packument import Packument, read_packument, with_sealed
from shared.protocols.npm.resolver.picking import Manifest, Wanted
from shared.protocols.npm.resolver.projects import linked, manifest_wanted, members_of, rules_of, wanted_of
from shared.protocols.npm.resolver.registry import Registry, Scout
from shared.protocols.npm.resolver.specs import Spec, read_spec
from shared.protocols.npm.resolver.tree import Node
from shared.protocols.npm.resolver.tree_build import TreeBuilder
from shared.protocols.npm.resolver.tree_flags import mark_inert, mark_optional
from shared.protocols.npm.shrinkwrap import InnerEntry, decode_inner
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

_MAX_REQUIREMENT_CHARACTERS = 2000
_MAY_LACK = ("optional", "peerOptional")
_RESOLVABLE = ("range", "version", "tag")
_KINDS = {"runtime": "prod", "bundled": "prod", "optional": "optional", "peer": "peer"}


class NpmResolver(Resolver):
    """npm's rules: version picking, and the tree of folders as npm's own resolver builds it."""

    protocol = "npm"
    chooses_optional = False  # npm locks them anyway, and a package's devDependencies never

    def environment_named(self, name: str) -> str:
        return environment(name or DEFAULT_ENVIRONMENT).name

    def canonical(self, requirements: tuple[str, ...]) -> Iterable[str]:
        spelled = {_canonical(text) for text in requirements}
        folders = [_split(text)[0].lower() for text in spelled]
        twice = sorted({name for name in folders if folders.count(name) > 1}) if len(folders) > 1 else []
        if twice:
            raise InvalidParameter(f"requirements: {twice[0]} is asked for twice; give one an alias")
        return spelled

    def prepare_index(self, body: bytes) -> Packument:
        return read_packument(body)

    def with_sealed(self, index: Packument, sealed: Mapping[tuple[str, str], SealedFile]) -> Packument:
        return with_sealed(index, sealed)

    def prepare_metadata(self, document: Document, raw: bytes | Extraction) -> Manifest | Absent:
        if not isinstance(raw, Extraction):
            return Absent("a tarball's metadata is in the package's document")
        return _extracted(document, raw)

    def prepare_inner(self, raw: bytes) -> tuple[InnerEntry, ...] | Absent:
        try:
            return decode_inner(raw)
        except msgspec.MsgspecError:
            return Absent("what was read of it cannot be used")

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
        given: dict[str, Manifest] = {}
        rules = rules_of(request.project, dict(map(_split, request.requirements)))
        if root is None:
            own = wanted_of(request.project)
            wanted = tuple(map(_wanted, request.requirements)) if own is None else own
        else:
            found = _root_manifest(root, known)
            if isinstance(found, NeededDocuments):
                return found
            given[found.name] = found
            wanted = (Wanted(found.name, "prod", Spec("version", found.name, found.version, found.version)),)
        members = members_of(request.project)
        ours = linked(members)
        taken = {each.name.lower() for each in ours}
        theirs = [
            wish
            for each in members.values()
            for wish in manifest_wanted(each)
            if wish.name.lower() not in taken  # else the tree asks, if it comes to that
        ]
        wanted = tuple(each for each in wanted if each.name.lower() not in taken)
        target = environment(request.environment)
        before = datetime.fromisoformat(request.as_of).timestamp() if request.as_of else None
        registry = Registry(known, target, before, given)
        scout = known.memo.setdefault("scout", Scout((*wanted, *theirs), rules))
        scout.advance(registry)
        if registry.needs:
            return NeededDocuments(tuple(registry.needs))
        if root is None:
            _check_roots(wanted, registry)
        tree = Node("", Manifest("", "", (*ours, *wanted)), overrides=rules)
        for folder, each in members.items():
            manifest = Manifest(each["name"], each.get("version", ""), manifest_wanted(each))
            rule = rules and rules.rule_of(manifest.name, read_spec(manifest.name, manifest.version))
            tree.admit(Node(manifest.name, manifest, overrides=rule), folder)
        try:
            TreeBuilder(tree, registry.fetch, registry.inner, give_up).build()
        except (ResolutionConflict, ResolutionTooLarge):
            if not registry.needs:  # else it may come of what is not known yet
                raise
        if not registry.needs:
            inner.check(tree, registry.page)
        if registry.needs:
            return NeededDocuments(tuple(registry.needs))
        mark_optional(tree)
        mark_inert(tree, target)
        return build_resolution(request, tree, known)


def _check_roots(wanted: tuple[Wanted, ...], registry: Registry) -> None:
    for each in wanted:
        if each.kind in _MAY_LACK:
            continue
        page = registry.page(each.spec.package)
        if isinstance(page, Absent):
            raise missing_root(f"npm: {each.spec.package}", page)


def _root_manifest(root: RootFile, known: KnownDocuments) -> Manifest | NeededDocuments:
    """The stored tarball's version, as the package's document tells of it; else as the tarball does."""
    index = Document("index", root.project)
    page = known.documents.get(index)
    if page is None:
        return NeededDocuments((index,))
    if isinstance(page, Packument):
        version = page.version_of(root.filename)
        if version in page.releases:
            return Registry(known, environment(DEFAULT_ENVIRONMENT), None, {}).manifest(page, version)
    document = Document("metadata", root.project, root.file_id, root.filename)
    found = known.documents.get(document)
    if found is None:
        return NeededDocuments((document,))
    if isinstance(found, Absent | Unavailable):
        raise NotResolvable(f"{root.filename}: {found.reason}")
    assert isinstance(found, Manifest)
    return found


def _extracted(document: Document, extraction: Extraction) -> Manifest:
    bundled = {_split(each.requirement)[0] for each in extraction.dependencies if each.kind == "bundled"}
    wanted: dict[str, Wanted] = {}
    for kind in ("peer", "runtime", "bundled", "optional"):
        for each in extraction.dependencies:
            if each.kind != kind:
                continue
            name, text = _split(each.requirement)
            wanted.pop(name.lower(), None)
            placed = "peerOptional" if kind == "peer" and each.optional else _KINDS[kind]
            wanted[name.lower()] = Wanted(name, placed, read_spec(name, text))
    return Manifest(
        name=document.project,
        version=extraction.version,
        wanted=tuple(wanted.values()),
        bundled=frozenset(bundled),
        filename=document.filename,
    )


# --- requests ---------------------------------------------------------------------------------------


def _split(text: str) -> tuple[str, str]:
    """Name and range of `name@range`; a scope's own `@` is part of the name."""
    name, _, wanted = text[1:].partition("@")
    return text[:1] + name, wanted


def _wanted(text: str) -> Wanted:
    name, wanted = _split(text)
    return Wanted(name, "prod", read_spec(name, wanted))


def _canonical(text: str) -> str:
    if len(text) > _MAX_REQUIREMENT_CHARACTERS:
        raise InvalidParameter(f"requirements: one is longer than {_MAX_REQUIREMENT_CHARACTERS} characters")
    name, wanted = _split(text.strip())
    name, wanted = name.strip(), " ".join(wanted.split()) or "*"
    spec = read_spec(name, wanted)
    if not names.is_name(name) or spec.kind == "invalid":
        raise InvalidParameter(
            f"requirements: {ascii(text)[:120]} is no requirement such as 'express@^4', '@scope/name' or"
            " 'alias@npm:name@^1'"
        )
    if spec.kind not in _RESOLVABLE:
        raise InvalidParameter(f"requirements: {name} is asked for by address; only names are resolved")
    return f"{name}@{wanted}"
