"""Forwarded requests: handed to a live fetcher, since only fetchers speak to upstreams."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import msgspec

from services.gateway.misses.fetchers import FetcherPool
from services.gateway.serving.ports import ForwardAnswer, ForwardRequest
from shared.errors import ErrorValue, OrchardError
from shared.errors.catalogue import from_value
from shared.errors.passing import UpstreamUnavailable
from shared.redis.client import RedisClient
from shared.worker.heartbeat import Heartbeat, read_health
from shared.worker.tokens import token_for

HEARTBEATS_FOR_SECONDS = 2.0


class ForwardRelay:
    """Fulfils the port `Forward`."""

    def __init__(
        self,
        fetchers: FetcherPool,
        queue_redis: RedisClient,
        *,
        secret: str,
        timeout_seconds: Callable[[str], float],
    ) -> None:
        """`secret`: the queue Redis's password (shared/worker/tokens.py). `timeout_seconds`: by protocol."""
        self._fetchers = fetchers
        self._redis = queue_redis
        self._secret = secret
        self._timeout_seconds = timeout_seconds
        self._known: list[Heartbeat] = []
        self._read_at = 0.0

    async def send(self, protocol: str, request: ForwardRequest) -> ForwardAnswer:
        """The upstream's answer by way of any fetcher. Raises `UpstreamUnavailable`, `QueueUnavailable`."""
        fetchers = await self._living()
        random.shuffle(fetchers)
        headers = {
            "x-orchard-method": request.method,
            "x-orchard-path": request.path,
            "accept": request.accept or "*/*",
            "x-orchard-content-type": request.content_type,
            "x-orchard-content-encoding": request.content_encoding,
            "x-orchard-via": request.via,
        }
        headers = {name: value for name, value in headers.items() if value}
        for fetcher in fetchers[:2]:
            answer = await self._fetchers.post(
                fetcher.address,
                f"/forward/{protocol}",
                headers={**headers, "x-orchard-token": token_for(fetcher, self._secret)},
                body=request.body,
                timeout_seconds=self._timeout_seconds(protocol),
            )
            if answer is not None:
                status, answered, body = answer
                upstream_status = answered.get("x-orchard-status", "")
                if status != 200 or not upstream_status.isdigit():
                    raise _error_in(body)
                return ForwardAnswer(int(upstream_status), answered.get("content-type", ""), body)
        raise UpstreamUnavailable("no fetcher is running")

    async def _living(self) -> list[Heartbeat]:
        if time.monotonic() - self._read_at > HEARTBEATS_FOR_SECONDS:
            self._known = await read_health(self._redis)
            self._read_at = time.monotonic()
        return [
            each
            for each in self._known
            if each.service == "fetcher" and not each.draining and token_for(each, self._secret)
        ]


def _error_in(body: bytes) -> OrchardError:
    """The error in a fetcher's answer."""
    try:
        return from_value(msgspec.json.decode(body, type=ErrorValue))
    except msgspec.MsgspecError:  # a fetcher of an older version answers in text
        return UpstreamUnavailable("the upstream did not answer")
