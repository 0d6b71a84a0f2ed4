"""One resolution's view of the registry: packages by requirement, out of the documents known so far."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from shared.protocols.npm.names import ONE_FILE_ID
from shared.protocols.npm.resolver.environments import Environment
from shared.protocols.npm.resolver.failure import Failure
from shared.protocols.npm.resolver.overrides import OverrideSet
from shared.protocols.npm.resolver.packument import Packument
from shared.protocols.npm.resolver.picking import Manifest, Wanted, manifest_of, pick
from shared.protocols.npm.resolver.specs import Spec
from shared.protocols.npm.semver_ranges import satisfies
from shared.protocols.npm.shrinkwrap import FILE, InnerEntry
from shared.protocols.resolution import MAX_NODES, Absent, Document, KnownDocuments, Unavailable

_SHOWN_VERSIONS = 5
_PENDING = Failure("it is not known yet", pending=True)


class Registry:
    """Answers from the known documents, memoises there, and adds missing documents to `needs`."""

    def __init__(
        self,
        known: KnownDocuments,
        environment: Environment,
        before: float | None,
        roots: dict[str, Manifest],
    ) -> None:
        self.needs: dict[Document, None] = {}
        self._documents = known.documents
        self._memo = known.memo
        self._environment = environment
        self._before = before
        self._roots = roots  # by package: versions that are given, whatever the registry says

    def page(self, package: str) -> Packument | Absent | Unavailable | None:
        """A package's document; None, and noted, if it is not known yet."""
        document = Document("index", package)
        found: Packument | Absent | Unavailable | None = self._documents.get(document)
        if found is None:
            self.needs[document] = None
        return found

    def fetch(self, wanted: Wanted) -> Manifest | Failure:
        """The manifest that a requirement resolves to."""
        spec = wanted.spec
        if spec.package in self._roots and spec.kind == "version":
            given = self._roots[spec.package]
            if given.version == spec.wanted:
                return given
        key = ("pick", spec.package, spec.kind, spec.wanted)
        found: Manifest | Failure | None = self._memo.get(key)
        if found is None:
            found = self._find(spec)
            if not (isinstance(found, Failure) and found.pending):
                self._memo[key] = found
        return found

    def _find(self, spec: Spec) -> Manifest | Failure:
        page = self.page(spec.package)
        if page is None:
            return _PENDING
        if not isinstance(page, Packument):
            return Failure(page.reason, passing=isinstance(page, Unavailable))
        release = pick(page, spec, self._environment, self._before)
        if release is not None:
            return self.manifest(page, release.version)
        shown = list(page.releases)[:_SHOWN_VERSIONS]
        more = len(page.releases) - len(shown)
        dated = " of that time" if self._before is not None else ""
        return Failure(
            f"no version{dated} is {spec.wanted}; there are {', '.join(shown)}"
            + (f" and {more} more" if more else "")
            if shown
            else "it has no versions"
        )

    def inner(self, manifest: Manifest) -> tuple[InnerEntry, ...] | Failure:
        """What the lock lists that a version brings."""
        document = Document("inner", manifest.name, ONE_FILE_ID, manifest.filename)
        found: tuple[InnerEntry, ...] | Absent | Unavailable | None = self._documents.get(document)
        if found is None:
            self.needs[document] = None
            return _PENDING
        if isinstance(found, Absent | Unavailable):
            told = f"the {FILE} of {manifest.name} {manifest.version} cannot be had: {found.reason}"
            return Failure(told, passing=isinstance(found, Unavailable))
        return found

    def manifest(self, page: Packument, version: str) -> Manifest:
        """One version of a package."""
        key = ("manifest", page.name, version)
        found: Manifest | None = self._memo.get(key)
        if found is None:
            found = self._memo[key] = manifest_of(page, page.releases[version])
        return found


class Scout:
    """Goes ahead of the tree: asks early for the documents that building it will want.

    A guess, made in whole levels of the graph: a requirement that some version already met satisfies is not
    followed. What it misses, building the tree asks for; what it asks for in vain changes nothing.
    """

    def __init__(self, wanted: Iterable[Wanted], rules: OverrideSet | None = None) -> None:
        self._rules = rules
        self._waiting: dict[str, list[Wanted]] = {}
        self._ready = list(wanted)
        self._seen: set[tuple[str, str]] = set()
        self._met: dict[str, set[str]] = {}
        self._steps = 0

    def advance(self, registry: Registry) -> None:
        """Follow what is known now; what is not is in `registry.needs` afterwards."""
        for package in list(self._waiting):
            if registry.page(package) is not None:
                self._ready += self._waiting.pop(package)
        while self._ready:
            level, self._ready = self._ready, []
            for wanted in level:
                self._follow(wanted, registry)

    def _follow(self, wanted: Wanted, registry: Registry) -> None:
        rule = None if self._rules is None else self._rules.rule_of(wanted.name, wanted.spec)
        if rule is not None and rule.spec is not None:
            wanted = msgspec.structs.replace(wanted, spec=rule.spec)
        spec = wanted.spec
        if wanted.kind == "peerOptional" or spec.kind not in ("range", "version", "tag"):
            return
        if (spec.package, spec.wanted) in self._seen or self._steps > 4 * MAX_NODES:
            return
        met = self._met.setdefault(spec.package, set())
        if any(satisfies(version, spec.wanted) for version in met):
            return
        found = registry.fetch(wanted)
        if isinstance(found, Failure):
            if found.pending:
                self._waiting.setdefault(spec.package, []).append(wanted)
            return
        self._steps += 1
        self._seen.add((spec.package, spec.wanted))
        met.add(found.version)
        if not found.shrinkwrap:
            self._ready += [each for each in found.wanted if each.name not in found.bundled]
