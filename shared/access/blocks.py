"""Blocks: packages, versions and bytes that an operator forbids to serve. Pure values."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping

import msgspec

from shared.errors import Blocked


class Block(msgspec.Struct, frozen=True, omit_defaults=True):
    """One row of `blocks`, or what an upstream has blocked: a name with all its versions, one version of it,
    or bytes by their SHA256."""

    id: int
    reason: str
    protocol: str = ""
    name: str = ""
    version: str = ""  # canonical; "" = all
    sha256: str = ""  # hex


class ToldBlock(msgspec.Struct, frozen=True, omit_defaults=True):
    """A block as one Orchard tells it to another."""

    reason: str
    protocol: str = ""
    name: str = ""
    version: str = ""
    sha256: str = ""


OF_UPSTREAM = 0
"""The `id` of a block that an upstream made: it has no row of its own, and is lifted there."""


def told(blocks: Iterable[Block], protocol: str) -> list[ToldBlock]:
    """The blocks of a protocol, and those of bytes."""
    return [
        ToldBlock(each.reason, each.protocol, each.name, each.version, each.sha256)
        for each in blocks
        if each.sha256 or each.protocol == protocol
    ]


class ProjectBlocks(msgspec.Struct, frozen=True):
    """The blocks of one project. `stamp` differs between pages rendered before and after a change; "" when
    nothing is blocked."""

    whole: str = ""  # the reason why all of it is blocked
    versions: Mapping[str, str] = {}  # canonical version → reason
    digests: Mapping[str, str] = {}  # SHA256 → reason: those of all projects
    stamp: str = ""


NOTHING = ProjectBlocks()


def as_it_is(protocol: str, name: str) -> str:
    """The name itself: of a protocol whose canonical names are one each."""
    return name


class Blocks:
    """All blocks at one moment. Looked up by every request: dictionaries, made once per change."""

    def __init__(self, blocks: Iterable[Block] = (), *, named: Callable[[str, str], str] = as_it_is) -> None:
        """`named`: of a protocol and a canonical name, what all names have in common that clients take for
        the same one."""
        self._named = named
        versions: dict[tuple[str, str], dict[str, str]] = {}
        self._digests: dict[str, str] = {}
        for block in blocks:
            if block.sha256:
                self._digests[block.sha256] = block.reason
            else:
                versions.setdefault((block.protocol, named(block.protocol, block.name)), {})[
                    block.version
                ] = block.reason
        self._other = _project({}, self._digests)
        self._projects = {key: _project(found, self._digests) for key, found in versions.items()}
        self.any = bool(self._projects or self._digests)

    def of(self, protocol: str, project: str) -> ProjectBlocks:
        """The blocks of a project (`project` canonical)."""
        if not self.any:
            return NOTHING
        return self._projects.get((protocol, self._named(protocol, project)), self._other)

    def is_made_under(self, stamp: str, protocol: str, project: str) -> bool:
        """Whether what was made under the blocks of this stamp (`ProjectBlocks.stamp`) would be made the
        same under these."""
        return stamp == self.of(protocol, project).stamp

    def why_digest(self, sha256: str) -> str:
        """The reason why bytes are blocked, "" if they are not."""
        return self._digests.get(sha256, "")

    def check(self, protocol: str, project: str, version: str = "") -> None:
        """Raises `Blocked` for a blocked project, or for a blocked version of one ("" names none)."""
        found = self.of(protocol, project)
        if found.whole:
            raise Blocked(f"{project} is blocked: {found.whole}")
        reason = found.versions.get(version) if version else None
        if reason:
            raise Blocked(f"{project} {version} is blocked: {reason}")

    def check_digest(self, sha256: str) -> None:
        """Raises `Blocked` for blocked bytes."""
        reason = self._digests.get(sha256)
        if reason:
            raise Blocked(f"the file with the SHA256 {sha256} is blocked: {reason}")


def _project(versions: Mapping[str, str], digests: Mapping[str, str]) -> ProjectBlocks:
    if not versions and not digests:
        return NOTHING
    text = "\n".join([*sorted(versions), "", *sorted(digests)])
    return ProjectBlocks(
        whole=versions.get("", ""),
        versions={version: reason for version, reason in versions.items() if version},
        digests=digests,
        stamp=hashlib.sha256(text.encode()).hexdigest()[:16],
    )
