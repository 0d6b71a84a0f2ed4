"""Kept resolutions of artifacts on the hot path: from the address to the stored bytes by one read."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

from services.gateway.blocked_graphs import BlockedGraphs
from services.gateway.l1 import L1Cache
from services.gateway.resolutions import flag, resolution_request
from services.gateway.responses import SECURITY_HEADERS
from shared.cache_keys import Category, cache_key
from shared.errors import OrchardError
from shared.protocols import PROTOCOLS

PREFIX = b"/api/v1/artifacts/"
_PATH = re.compile(rb"/api/v1/artifacts/([0-9a-fA-F]{64})/resolution")
_REMEMBERED = 4096
_LONGEST_QUERY = 512

HeaderList = list[tuple[bytes, bytes]]


class WarmResolutions:
    """Of one gateway. Whatever it cannot answer is left to the general way, errors too."""

    def __init__(self, l1: L1Cache, graphs: BlockedGraphs) -> None:
        self._l1 = l1
        self._graphs = graphs
        self._keys: dict[tuple[bytes, bytes], list[str]] = {}

    async def find(self, scope: Any, raw_path: bytes) -> bytes | None:
        """The body to answer a GET with, or None."""
        if scope["method"] != "GET":
            return None
        query: bytes = scope["query_string"]
        keys = self._keys.get((raw_path, query))
        if keys is None:
            keys = _keys(raw_path, query)
            if len(query) <= _LONGEST_QUERY:
                if len(self._keys) >= _REMEMBERED:
                    self._keys.clear()
                self._keys[raw_path, query] = keys
        if not keys:
            return None
        try:
            values = await self._l1.get_many(keys)
        except OrchardError:
            return None
        body = next((value for value in values if value is not None), None)
        return None if body is None or self._graphs.why(body) else body

    @staticmethod
    def headers(body: bytes, request_id: str) -> HeaderList:
        """The headers of a kept answer."""
        return [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-cache"),
            (b"x-cache", b"HIT"),
            (b"x-request-id", request_id.encode()),
            *SECURITY_HEADERS,
        ]


def _keys(raw_path: bytes, query: bytes) -> list[str]:
    """The cache keys under which the answer may lie: one for each protocol that the bytes may be of."""
    found = _PATH.fullmatch(raw_path)
    if found is None or len(query) > _LONGEST_QUERY:
        return []
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    options = dict(pairs)
    keys = []
    try:
        if len(options) != len(pairs) or flag("refresh", options.get("refresh", "")):
            return []
    except OrchardError:
        return []
    for protocol in PROTOCOLS:
        if protocol.resolver is None or options.get("protocol", protocol.name) != protocol.name:
            continue
        try:
            request = resolution_request(protocol.name, options, artifact=found[1].decode().lower())
        except OrchardError:
            continue
        keys.append(cache_key(Category.DEPENDENCY_RESOLUTION, protocol.name, request.key))
    return keys
