"""What the admin API asks fetchers to do: seal credentials, and test an upstream or a webhook."""

from __future__ import annotations

import random

import msgspec

from services.gateway.misses.fetchers import FetcherPool
from shared.errors import EntryNotFound, SourceUnusable
from shared.errors.passing import UpstreamUnavailable
from shared.redis.client import RedisClient
from shared.sources.answers import UpstreamTest
from shared.sources.credentials import Credentials
from shared.worker.heartbeat import read_health
from shared.worker.tokens import token_for

TIMEOUT_SECONDS = 9.5


class FetcherDesk:
    """Asks any living fetcher. Every method raises `UpstreamUnavailable` when none runs."""

    def __init__(self, fetchers: FetcherPool, queue_redis: RedisClient, *, secret: str) -> None:
        """`secret` is the queue Redis's password (shared/worker/tokens.py)."""
        self._fetchers = fetchers
        self._redis = queue_redis
        self._secret = secret

    async def seal(self, url: str, credentials: Credentials) -> str:
        """Credentials as they may stand in a row; "" for none. Raises `SourceUnusable` without a key."""
        if not credentials:
            return ""
        body = msgspec.json.encode({"url": url, "credentials": credentials})
        status, answer = await self.ask("/admin/seal", body)
        if status != 200:
            raise SourceUnusable(answer.decode("utf-8", "replace")[:300] or "a fetcher could not seal them")
        return answer.decode()

    async def test(self, protocol: str, source_id: int, project: str) -> UpstreamTest:
        """The source's answer to a test request. Raises `EntryNotFound`."""
        status, answer = await self.ask(f"/admin/test/{protocol}/{source_id}", project.encode())
        if status == 404:
            raise EntryNotFound(
                f"there is no upstream {source_id}", hint="`orchard upstreams list` shows them."
            )
        if status != 200:
            raise UpstreamUnavailable("the fetcher could not test the upstream")
        return msgspec.json.decode(answer, type=UpstreamTest)

    async def test_webhook(self, webhook_id: int) -> UpstreamTest:
        """The receiver's answer to a test event. Raises `EntryNotFound`."""
        status, answer = await self.ask(f"/admin/webhook/{webhook_id}", b"")
        if status == 404:  # or a fetcher of the version before
            raise EntryNotFound(
                f"no fetcher knows a webhook {webhook_id}", hint="`orchard webhooks list` shows them."
            )
        if status != 200:
            raise UpstreamUnavailable("the fetcher could not test the webhook")
        return msgspec.json.decode(answer, type=UpstreamTest)

    async def ask(self, path: str, body: bytes, tries: int = 2) -> tuple[int, bytes]:
        """Status and body of the answer of the first of so many fetchers that gives one."""
        known = await read_health(self._redis)
        fetchers = [
            each
            for each in known
            if each.service == "fetcher" and not each.draining and token_for(each, self._secret)
        ]
        random.shuffle(fetchers)
        for fetcher in fetchers[:tries]:
            answer = await self._fetchers.post(
                fetcher.address,
                path,
                headers={"x-orchard-token": token_for(fetcher, self._secret)},
                body=body,
                timeout_seconds=TIMEOUT_SECONDS,
            )
            if answer is not None:
                return answer[0], answer[2]
        raise UpstreamUnavailable("no fetcher is running to do this")
