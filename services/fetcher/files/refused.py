"""What was fetched and may not be kept, and names under which an upstream has bytes that are blocked.

Where no index tells the SHA-256 of a file, what it is is known only once it is here, and all but an end of it
is passed on until then. So what a name stood for is remembered: it is asked of no upstream again while these
bytes are blocked.
"""

from __future__ import annotations

from shared.access.watcher import AccessWatcher
from shared.cache.keys import refused_key
from shared.errors import Blocked
from shared.models import FileName
from shared.protocols import protocol_named
from shared.protocols.resource import Resource
from shared.stores import Stores
from shared.telemetry.logs import get_logger

log = get_logger()

REMEMBERED_SECONDS = 3_600  # after that it is asked once more: it may stand for other bytes


class RefusedBytes:
    """Of all fetchers together, in the cache Redis."""

    def __init__(self, stores: Stores, access: AccessWatcher) -> None:
        self._redis = stores.cache_redis
        self._artifacts = stores.artifacts
        self._access = access

    async def check(self, file: FileName) -> None:
        """Raises `Blocked` where the file was found to be of bytes that are blocked still."""
        policy = self._access.policy
        if policy.blocks_bytes:
            known = await self._redis.command("GET", refused_key(file))
            if known:
                policy.check_digest(bytes(known).decode())

    async def check_fetched(self, file: FileName, resource: Resource, sha256: str, source: str) -> None:
        """Raises `Blocked` for bytes of a source that are blocked by now, or malware: they are not kept, and
        their readers break off."""
        policy = self._access.policy
        version = protocol_named(file.protocol).grammar.version_asked(resource)
        try:
            try:
                policy.check_digest(sha256)
            except Blocked:
                await self._redis.command("SET", refused_key(file), sha256, "EX", REMEMBERED_SECONDS)
                raise
            policy.check(file.protocol, file.project, version, sha256, beside=resource.file_id)
        except Blocked as error:
            log.warning(
                "blocked_file_refused",
                project=file.project,
                filename=file.filename,
                sha256=sha256,
                code=error.code,
            )
            detail = {"sha256": sha256, "source": source}
            about = file.protocol, file.project, file.filename
            await self._artifacts.record_event("blocked_file_refused", *about, detail)
            raise
