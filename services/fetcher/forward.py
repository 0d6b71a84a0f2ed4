"""POST /forward/{protocol}: one request of a client, passed on to the protocol's first source.

For what is never cached (searches, audits). Only gateways may ask: they know the token from this
process's heartbeat. The source's own credentials are used; nothing of the client's goes upstream but
the body, its type and its coding.
"""

from __future__ import annotations

import hmac
import re
import secrets

from aiohttp import web

from services.fetcher.upstreams import Upstreams
from shared.errors import OrchardError, TooLarge, UpstreamUnavailable
from shared.logs import get_logger
from shared.source_policy import candidates
from shared.source_watcher import SourceWatcher

log = get_logger()

MAX_REQUEST_BYTES = 8 * 1024 * 1024
_PATH = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/?%-]{1,4096}")
_VALUE = re.compile(r"[\x20-\x7e]{0,256}")


class ForwardRoute:
    """The route, and the token that opens it."""

    def __init__(self, upstreams: Upstreams, sources: SourceWatcher) -> None:
        self._upstreams = upstreams
        self._sources = sources
        self.token = secrets.token_hex(16)

    @property
    def routes(self) -> list[web.RouteDef]:
        """For `WorkerHttp`."""
        return [web.post("/forward/{protocol}", self.handle)]

    async def handle(self, request: web.Request) -> web.Response:
        """200 with the upstream's body and its status in `x-orchard-status`; 503 when it gave none."""
        given = request.headers.get("x-orchard-token", "")
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            return web.Response(status=403)
        method = request.headers.get("x-orchard-method", "")
        path = request.headers.get("x-orchard-path", "")
        if method not in ("GET", "POST") or not _PATH.fullmatch(path) or ".." in path:
            return web.Response(status=400)
        headers = {"accept": request.headers.get("accept", "*/*")}
        for name in ("content-type", "content-encoding"):
            value = request.headers.get(f"x-orchard-{name}", "")
            if value:
                headers[name] = value
        if not all(_VALUE.fullmatch(value) for value in headers.values()):
            return web.Response(status=400)
        try:
            body = await _read(request)
            found = self._sources.current(request.match_info["protocol"])
            asked = candidates(found.sources, "") if found is not None else []
            if not asked:
                raise UpstreamUnavailable("no upstream source may be asked")
            answer = await self._upstreams.pass_on(
                asked[0], asked[0].url.rstrip("/") + "/" + path, method=method, headers=headers, body=body
            )
        except OrchardError as error:
            log.info("not_forwarded", path=path.partition("?")[0], error=error.code)
            return web.Response(status=503, text=error.message)
        return web.Response(
            body=answer.body,
            headers={
                "content-type": answer.headers.get("content-type", "application/json"),
                "x-orchard-status": str(answer.status),
            },
        )


async def _read(request: web.Request) -> bytes:
    """The body as it is: its coding travels in a header of ours, so that nothing here unpacks it."""
    pieces = bytearray()
    async for piece in request.content.iter_any():
        pieces += piece
        if len(pieces) > MAX_REQUEST_BYTES:
            raise TooLarge(f"the request has more than {MAX_REQUEST_BYTES} bytes")
    return bytes(pieces)
