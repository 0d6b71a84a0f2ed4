"""What may be fetched though nobody asked: what one owner alone may be asked for, and is not blocked."""

from __future__ import annotations

from collections.abc import Sequence

from services.fetcher.sources.policy import owners
from services.fetcher.sources.watcher import SourceWatcher
from shared.access.watcher import AccessWatcher
from shared.artifacts.repository import ArtifactRepository
from shared.errors import Blocked
from shared.errors.passing import AdvisoriesUnknown
from shared.models import UpstreamSource
from shared.protocols.base import PackageProxyBase
from shared.protocols.roles.ahead import Guess


class Allowed:
    """The rules, over sources, pins and blocks of now."""

    def __init__(self, sources: SourceWatcher, access: AccessWatcher, artifacts: ArtifactRepository) -> None:
        self._sources, self._access, self._artifacts = sources, access, artifacts

    async def of(
        self, protocol: PackageProxyBase, source: UpstreamSource, guesses: Sequence[Guess]
    ) -> list[tuple[Guess, UpstreamSource]]:
        """Those that one source alone may be asked for, with it.

        Where the policy leaves several, a guess would tell each of them a name that perhaps no client ever
        asks for. What a source with credentials names is told to no other.
        """
        known = self._sources.current(protocol.name)
        if known is None:
            return []
        pins: dict[str, frozenset[int]] = {}
        if len(known.sources) > 1:
            names = {name for guess in guesses for name in protocol.names.pin_names(guess.project)}
            pins = await self._artifacts.pinned_sources(protocol.name, names)
        is_private = bool(source.password or source.token)
        found = []
        for guess in guesses:
            if self._is_blocked(protocol, guess):
                continue
            pinned = next(
                (pins[name] for name in protocol.names.pin_names(guess.project) if name in pins),
                frozenset[int](),
            )
            asked = owners(known.sources, guess.project, pinned)
            if len(asked) != 1 or (is_private and source not in asked[0]):
                continue
            if all(each.options.read_ahead for each in asked[0]):
                found.append((guess, asked[0][0]))
        return found

    def _is_blocked(self, protocol: PackageProxyBase, guess: Guess) -> bool:
        policy = self._access.policy
        if not policy.any:
            return False
        try:
            if guess.file is None:
                policy.check(protocol.name, guess.project, page=True)
            else:
                version = protocol.grammar.version_asked(protocol.grammar.artifact_resource(guess.file))
                policy.check_new(protocol.name, guess.project, version)
        except (Blocked, AdvisoriesUnknown):
            return True
        return False
