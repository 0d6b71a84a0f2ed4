"""What is true of something that an operator lets in: what is blocked by hand goes before most exemptions,
and what is malware is not let in unasked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

import msgspec

from services.gateway.api.admin.access_types import MadeExemption, NewBlock
from services.gateway.api.admin.repository import Actor, AdminRepository
from shared.access.watcher import AccessWatcher
from shared.errors import Conflict
from shared.models import FileName
from shared.policy.policy import Policy
from shared.policy.rules import OF_UPSTREAM
from shared.protocols import named_alike, protocol_named
from shared.stores import Stores

MOST_NAMES = 100  # of the same bytes


class Blocking(Protocol):
    """A block, as it is stored or told."""

    @property
    def id(self) -> int: ...
    @property
    def protocol(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def reason(self) -> str: ...


_Block = TypeVar("_Block", bound=Blocking)


async def named_by(stores: Stores, what: NewBlock) -> list[NewBlock]:
    """What is let in, by its names: of bytes those of the stored files that they are. Raises
    `DatabaseUnavailable`."""
    if not what.sha256:
        return [what]
    files = await stores.artifacts.names_of("sha256", what.sha256, MOST_NAMES)
    return [NewBlock(what.reason, each.protocol, each.project, _version(each), what.sha256) for each in files]


def _version(file: FileName) -> str:
    protocol = protocol_named(file.protocol)
    asked = protocol.grammar.version_asked(protocol.grammar.artifact_resource(file))
    return protocol.names.canonical_version(asked) if asked else ""


def malware_of(policy: Policy, named: Iterable[NewBlock]) -> str:
    """The advisory by which it is malware, or of a package any version of it; "": it is none."""
    for each in named:
        verdicts = policy.of(each.protocol, each.name)
        found = verdicts.by_malware(each.version)
        if found is not None:
            return found.why
        if not each.version and verdicts.advised is not None and verdicts.advised.malware:
            return verdicts.advised.malware[0].told
    return ""


def check_malware(advisory: str, *, yes: bool) -> None:
    """Raises `Conflict`."""
    if advisory and not yes:
        raise Conflict(
            f"this is malware: {advisory}; let in, it is served to everybody who asks for it",
            hint="`--yes` (in the API `yes: true`) lets it in all the same.",
        )


async def let_in(
    repository: AdminRepository,
    actor: Actor,
    access_watcher: AccessWatcher,
    stores: Stores,
    what: NewBlock,
    ends: float | None,
    *,
    yes: bool,
) -> MadeExemption:
    """Make an exemption, and tell what is then true. Raises `Conflict`, also of malware without `yes`."""
    named = await named_by(stores, what)
    advisory = malware_of(access_watcher.policy, named)
    check_malware(advisory, yes=yes)
    made = await repository.add_exemption(actor, what, ends, covers_malware=yes)
    await access_watcher.refresh()
    state = access_watcher.state
    found = still_blocked(() if state is None else state.blocks, what)
    told = msgspec.structs.asdict(made)
    return MadeExemption(**told, refused="; ".join(map(in_words, found)), malware=advisory)


def still_blocked(blocks: Iterable[_Block], exempt: NewBlock) -> list[_Block]:
    """The blocks by hand that count for what is exempt all the same (`ProjectVerdicts.by_hand`), or of a
    package for a version of it."""
    return [each for each in blocks if _counts(each, exempt)]


def _counts(block: Blocking, exempt: NewBlock) -> bool:
    if block.sha256 or exempt.sha256:
        return block.sha256 == exempt.sha256
    if block.protocol != exempt.protocol:
        return False
    if named_alike(block.protocol, block.name) != named_alike(exempt.protocol, exempt.name):
        return False
    return not exempt.version or block.version == exempt.version


def in_words(block: Blocking) -> str:
    """Which block it is, and what takes it away."""
    what = block.sha256 or f"{block.protocol} {block.name} {block.version}".strip()
    if block.id == OF_UPSTREAM:
        return f"{what} is blocked by an upstream ({block.reason}), and is lifted there"
    return f"{what} is blocked by hand ({block.reason}): `orchard blocks remove {block.id}` takes that away"
