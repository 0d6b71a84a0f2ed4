"""Lua scripts by their hash: one round trip, and no start-up order to keep."""

from __future__ import annotations

import hashlib
from typing import Any

from redis.exceptions import NoScriptError

from shared.clients.redis import RedisClient


class Script:
    """One Lua script, called by its hash; sent whole only when Redis does not know it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, redis: RedisClient, keys: list[str], args: list[Any]) -> Any:
        """The script's reply. Raises the client's error."""
        with redis.guard():
            try:
                return await redis.pipeline.submit(("EVALSHA", self.sha, len(keys), *keys, *args))
            except NoScriptError:
                return await redis.pipeline.submit(("EVAL", self.text, len(keys), *keys, *args))
