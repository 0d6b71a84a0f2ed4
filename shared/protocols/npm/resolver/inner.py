"""Packages that bring a lock of their own (npm-shrinkwrap.json): what it lists is put below them as it says
(npm's arborist, `loadVirtual`), and checked against the registry once the tree stands.

Nothing of it moves: dependencies that lead there are taken as met, and only what the file lacks is placed.
What nobody depends on (the package's own tools, which npm calls extraneous) stays in the tree and out of the
answer.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable

import msgspec

from shared.protocols.npm.resolver.failure import Failure
from shared.protocols.npm.resolver.packument import Packument, Release, release_of
from shared.protocols.npm.resolver.picking import Manifest, manifest_of
from shared.protocols.npm.resolver.tree import Node
from shared.protocols.npm.shrinkwrap import FILE, InnerEntry
from shared.protocols.resolution import Absent, Unavailable

Page = Packument | Absent | Unavailable | None
_SHOWN = 120
_ALGORITHMS = ("sha512", "sha384", "sha256", "sha1")
_BY_ADDRESS = "it comes from an address; only what a registry names is resolved"


def label(node: Node) -> str:
    """The package whose own lock is spoken of."""
    return f"the {FILE} of {node.manifest.name} {node.version}"


def put_below(node: Node, entries: tuple[InnerEntry, ...]) -> None:
    """Place what a package's own lock lists. Each entry lies in one that came before, or in the package."""
    by_place = {"": node}
    for entry in entries:
        around, _, name = f"/{entry.place}".rpartition("/node_modules/")
        parent = by_place[around.removeprefix("/")]
        placed = Node(name, _manifest(name, entry), entry=entry)
        placed.attach(parent)
        by_place[entry.place] = placed


def _manifest(name: str, entry: InnerEntry) -> Manifest:
    fields = entry.fields
    package, version = fields.get("name", name), fields.get("version", "")
    release = release_of(version, fields)
    return manifest_of(Packument(package, {}, {version: release}, {}, False), release)


def is_bundled(node: Node) -> bool:
    """Whether the tarball of a package above brings a node."""
    return any(node in _brought_by(each) for each in node.ancestry() if each is not node)


def bundled_below(root: Node) -> set[Node]:
    """All nodes that the tarball of a package above brings."""
    return {brought for node in root.whole() if not node.is_own for brought in _brought_by(node)}


def _brought_by(owner: Node) -> set[Node]:
    """As far as dependencies tell (npm's `getBundler`): what is named, all inside that, and what those depend
    on beside it."""
    found: set[Node] = set()
    if not owner.manifest.bundled:
        return found
    queue = [each for each in owner.children.values() if each.name in owner.manifest.bundled]
    for node in queue:
        if node not in found:
            found.add(node)
            beside = (edge.target for edge in node.edges_out.values())
            queue += [each for each in beside if each is not None and each.parent is owner]
            queue += node.children.values()
    return found


def check(root: Node, page: Callable[[str], Page]) -> None:
    """Look up all that own locks list and something depends on: nodes get the name of their file, or a
    `failure` that says what is wrong. A page that is not known yet is noted by `page`."""
    bundled = bundled_below(root)
    for node in _reached(root):
        if node.entry is None or node.failure is not None:
            continue
        if node in bundled:
            node.manifest = msgspec.structs.replace(node.manifest, filename="", integrity="")
            continue
        owner = next(each for each in node.ancestry() if each.entry is None)
        told = f"{label(owner)}: {node.entry.place[:_SHOWN]}"
        if node.entry.address:
            node.failure = Failure(f"{told}: {_BY_ADDRESS}")
            continue
        found = page(node.manifest.name)
        if isinstance(found, Packument):
            _compare(node, found, told)
        elif found is not None:
            node.failure = Failure(f"{told}: {found.reason}", passing=isinstance(found, Unavailable))


def _compare(node: Node, page: Packument, told: str) -> None:
    manifest = node.manifest
    release = page.releases.get(manifest.version)
    if release is None:
        node.failure = Failure(f"{told}: there is no {manifest.name} {manifest.version}")
        return
    resolved = node.entry.fields.get("resolved", "") if node.entry is not None else ""
    if not manifest.integrity and resolved and not resolved.endswith(f"/{page.filename(manifest.version)}"):
        node.failure = Failure(f"{told}: {_BY_ADDRESS}")
        return
    if not manifest.integrity or _is_told(manifest.integrity, release) is None:
        integrity = release.integrity
    elif _is_told(manifest.integrity, release):
        integrity = manifest.integrity
    else:
        node.failure = Failure(
            f"{told}: its integrity is not that of {manifest.name} {manifest.version} in the registry"
        )
        return
    node.manifest = msgspec.structs.replace(
        manifest, filename=page.filename(manifest.version), integrity=integrity
    )


def _is_told(integrity: str, release: Release) -> bool | None:
    """Whether both name the same bytes; None where no algorithm is in both."""
    theirs, mine = _digests(release.integrity), _digests(integrity)
    if release.shasum:
        with contextlib.suppress(ValueError):
            theirs.setdefault("sha1", {base64.b64encode(bytes.fromhex(release.shasum)).decode()})
    algorithm = next((each for each in _ALGORITHMS if each in mine and each in theirs), None)
    return None if algorithm is None else bool(mine[algorithm] & theirs[algorithm])


def _digests(integrity: str) -> dict[str, set[str]]:
    """Of Subresource Integrity: digests by algorithm; options behind a "?" mean nothing."""
    found: dict[str, set[str]] = {}
    for each in integrity.split():
        algorithm, _, digest = each.partition("?")[0].partition("-")
        found.setdefault(algorithm, set()).add(digest)
    return found


def _reached(root: Node) -> list[Node]:
    seen = {root: None}
    queue = [root]
    for node in queue:
        for target in (*(edge.target for edge in node.edges_out.values()), node.link):
            if target is not None and target not in seen:
                seen[target] = None
                queue.append(target)
    return queue
