"""Resolved graphs as the gateway answers them: kept ones by one read, others by a job that is waited for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from services.gateway.access import Access
from services.gateway.blocked_graphs import BlockedGraphs
from services.gateway.l1 import L1Cache
from services.gateway.misses import MissWaiter
from shared.api_types import ResolutionProgress
from shared.cache import CacheService, Category
from shared.cache_keys import cache_key
from shared.clients.redis import RedisClient
from shared.error_catalogue import from_value
from shared.errors import (
    CacheUnavailable,
    DeadlineExceeded,
    Forbidden,
    InvalidParameter,
    NotResolvable,
    ResolutionNotFound,
    Unauthorized,
    UpstreamUnavailable,
)
from shared.jobs import Resolve
from shared.logs import get_logger
from shared.protocols import PROTOCOLS
from shared.protocols.resolution import DEFAULT_MAX_DEPTH, ResolutionRequest
from shared.resolutions import ResolutionRepository, handed_identifier
from shared.settings import Settings

log = get_logger()

RETRY_AFTER_SECONDS = 1
_PARAMETERS = ("max_depth", "include_optional", "environment", "as_of", "refresh", "protocol")


class _Saved(msgspec.Struct):
    """What of a resolution's saved state is shown."""

    steps: int = 0
    known: int = 0
    wanted: int = 0


def resolution_request(
    protocol: str,
    options: Mapping[str, str],
    *,
    artifact: str = "",
    requirements: tuple[str, ...] = (),
) -> ResolutionRequest:
    """The canonical request of query parameters. Raises `InvalidParameter` naming the one at fault,
    `NotResolvable` for a protocol without rules."""
    for name in options:
        if name not in _PARAMETERS:
            raise InvalidParameter(f"{name[:40]}: unknown; there are {', '.join(_PARAMETERS)}")
    resolver = next((each.resolver for each in PROTOCOLS if each.name == protocol), None)
    if resolver is None:
        raise NotResolvable(f"dependencies of {protocol[:32]!r} are not resolved yet")
    return resolver.request(
        artifact=artifact,
        requirements=requirements,
        max_depth=_number("max_depth", options.get("max_depth", ""), DEFAULT_MAX_DEPTH),
        include_optional=flag("include_optional", options.get("include_optional", "")),
        environment=options.get("environment", ""),
        as_of=options.get("as_of", ""),
    )


def _number(name: str, text: str, default: int) -> int:
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InvalidParameter(f"{name}: expected a number, not {text[:40]!r}")
    return int(text)


def flag(name: str, text: str) -> bool:
    """A yes-or-no parameter; absent is no. Raises `InvalidParameter`."""
    if text in ("", "false", "0"):
        return False
    if text in ("true", "1"):
        return True
    raise InvalidParameter(f"{name}: expected true or false, not {text[:40]!r}")


class Resolutions:
    """Of one gateway."""

    def __init__(
        self,
        *,
        settings: Settings,
        access: Access,
        graphs: BlockedGraphs,
        cache: CacheService,
        cache_redis: RedisClient,
        l1: L1Cache,
        misses: MissWaiter,
        repository: ResolutionRepository,
    ) -> None:
        self._settings = settings
        self._access = access
        self._graphs = graphs
        self._cache = cache
        self._redis = cache_redis
        self._l1 = l1
        self._misses = misses
        self._repository = repository

    def check_token(self, authorization: str, client: str) -> None:
        """Raises `Forbidden` unless this header holds an admin token, `AccessUnknown`, `TooManyGuesses`."""
        try:
            self._access.administrator(authorization.encode("latin-1", "replace"), client)
        except (Unauthorized, Forbidden):
            raise Forbidden("refresh=true computes a kept answer again: it needs an admin token") from None

    async def find(self, protocol: str, key: str) -> bytes | None:
        """The kept answer from the cache, else from the database, which fills the cache. Raises `Blocked`
        for one that names what is blocked."""
        body = await self._kept(protocol, key)
        if body is not None:
            self._graphs.check(body)
        return body

    async def _kept(self, protocol: str, key: str) -> bytes | None:
        cached = cache_key(Category.DEPENDENCY_RESOLUTION, protocol, key)
        try:
            body = (await self._redis.get_many([cached]))[0]
        except CacheUnavailable:
            body = None
        if body is not None:
            return body
        body = await self._repository.find(key)
        if body is not None:
            try:
                await self._cache.set(Category.DEPENDENCY_RESOLUTION, protocol, key, body)
            except CacheUnavailable as error:
                log.debug("resolution_not_cached", code=error.code)
        return body

    async def answer(
        self, request: ResolutionRequest, *, location: str, refresh: bool, request_id: str
    ) -> bytes | ResolutionProgress:
        """The answer, computed if need be; how far it has come when that takes longer than
        ORCHARD_REQUEST_TIMEOUT. Raises the resolution's errors and passing ones."""
        if not refresh:
            body = await self.find(request.protocol, request.key)
            if body is not None:
                return body

        async def there() -> bool:
            return not refresh and await self.find(request.protocol, request.key) is not None

        job = Resolve(
            protocol=request.protocol,
            key=request.key,
            artifact=request.artifact,
            requirements=request.requirements,
            max_depth=request.max_depth,
            include_optional=request.include_optional,
            environment=request.environment,
            as_of=request.as_of,
            refresh=refresh,
            request_id=request_id,
        )
        try:
            event = await self._misses.wait(job, until=there, timeout=self._settings.request_seconds())
        except DeadlineExceeded:
            return await self._progress(request, location)
        if event.kind == "failed":
            raise from_value(event.error) if event.error else UpstreamUnavailable("the resolution failed")
        body = None if refresh else await self.find(request.protocol, request.key)
        if body is None:
            handed = cache_key(
                Category.DEPENDENCY_RESOLUTION, request.protocol, handed_identifier(request.key)
            )
            body = (await self._redis.get_many([handed]))[0]
            if body is not None:
                self._graphs.check(body)
        if body is None and refresh:  # looked at last: what stood before may name what is blocked
            body = await self.find(request.protocol, request.key)
        if body is None:
            raise UpstreamUnavailable("the resolution lacks something for a passing cause; ask again")
        return body

    async def by_key(self, protocols: Sequence[str], key: str, location: str) -> bytes | ResolutionProgress:
        """What is known under a key, without starting anything. Raises `ResolutionNotFound`, and what a
        resolution failed with just now."""
        body = await self._anywhere(protocols, key)
        if body is not None:
            return body
        saved = await self._repository.progress(key)
        if saved is None:  # a job that still waits for a slot, or has not been put off yet, has none
            jobs = [Resolve(protocol=protocol, key=key).id for protocol in protocols]
            if not any([await self._misses.is_known(job) for job in jobs]):
                body = await self._anywhere(protocols, key)  # it may have ended meanwhile
                if body is not None:
                    return body
                for job in jobs:
                    failed = await self._misses.failure(job)
                    if failed is not None and failed.error is not None:
                        raise from_value(failed.error)
                raise ResolutionNotFound(f"no resolution has the key {key}")
        return _shown(saved, key, location)

    async def _anywhere(self, protocols: Sequence[str], key: str) -> bytes | None:
        """A kept answer, or an incomplete one that lies ready for those who wait."""
        for identifier in (key, handed_identifier(key)):
            keys = [cache_key(Category.DEPENDENCY_RESOLUTION, protocol, identifier) for protocol in protocols]
            body = next((value for value in await self._redis.get_many(keys) if value is not None), None)
            if body is None and identifier == key:
                body = await self._repository.find(key)
            if body is not None:
                self._graphs.check(body)
                return body
        return None

    async def _progress(self, request: ResolutionRequest, location: str) -> ResolutionProgress:
        return _shown(await self._repository.progress(request.key), request.key, location)


def _shown(saved: bytes | None, key: str, location: str) -> ResolutionProgress:
    shown = msgspec.json.decode(saved, type=_Saved) if saved else _Saved()
    return ResolutionProgress(
        status="working",
        key=key,
        location=location,
        retry_after_seconds=RETRY_AFTER_SECONDS,
        steps=shown.steps,
        documents_known=shown.known,
        documents_wanted=shown.wanted,
    )
