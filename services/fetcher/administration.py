"""What the admin API has a fetcher do: seal credentials, and ask an upstream how it is.

Only fetchers have the key and the way out. Only gateways may ask: they know the token from this
process's heartbeat (shared/worker_tokens.py). Credentials come in and only sealed ones go back.
"""

from __future__ import annotations

import asyncio
import hmac
import time

import msgspec
from aiohttp import web

from services.fetcher.breakers import Breakers
from services.fetcher.probes import Asked
from shared.admin_types import UpstreamTest
from shared.clients.http import HttpClientManager
from shared.errors import OrchardError
from shared.logs import get_logger
from shared.models import UpstreamSource
from shared.protocols import protocol_named
from shared.sealing_box import Credentials, SealingBox
from shared.sources import SourceRepository

log = get_logger()

TEST_SECONDS = 8.0  # a gateway's client is answered within ten
_WITHOUT_A_PAGE = (404, 405)  # many a registry answers so at its root


class _Wanted(msgspec.Struct, frozen=True):
    """The body of POST /admin/seal."""

    url: str
    credentials: Credentials


class AdministrationRoutes:
    """The routes, opened by the token of this process's heartbeat."""

    def __init__(
        self,
        http: HttpClientManager,
        repository: SourceRepository,
        box: SealingBox,
        breakers: Breakers,
        *,
        token: str,
    ) -> None:
        """What a test finds, `breakers` are told: a host that cannot be reached, or answers again."""
        self._breakers = breakers
        self._http = http
        self._repository = repository
        self._box = box
        self._token = token

    @property
    def routes(self) -> list[web.RouteDef]:
        """For `WorkerHttp`."""
        return [
            web.post("/admin/seal", self.seal),
            web.post("/admin/test/{protocol}/{source_id}", self.test),
        ]

    def _may(self, request: web.Request) -> bool:
        given = request.headers.get("x-orchard-token", "")
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._token.encode())

    async def seal(self, request: web.Request) -> web.Response:
        """200 with the sealed text; 503 without a key; 403 for strangers."""
        if not self._may(request):
            return web.Response(status=403)
        try:
            wanted = msgspec.json.decode(await request.read(), type=_Wanted)
            return web.Response(text=self._box.seal(wanted.credentials, wanted.url))
        except msgspec.MsgspecError:
            return web.Response(status=400)
        except OrchardError as error:
            return web.Response(status=503, text=error.message)

    async def test(self, request: web.Request) -> web.Response:
        """200 with an `UpstreamTest`, whatever the upstream says; 404 for no such source."""
        if not self._may(request):
            return web.Response(status=403)
        protocol = request.match_info["protocol"]
        project = (await request.read()).decode("utf-8", "replace")
        try:
            known = await self._repository.list(protocol)  # the row as it is now, not as it was watched
        except OrchardError as error:
            return web.Response(status=503, text=error.message)
        source = next((each for each in known if str(each.id) == request.match_info["source_id"]), None)
        if source is None:
            return web.Response(status=404)
        result = await self._ask(source, project)
        log.info("upstream_tested", source=source.name, ok=result.ok, status=result.status)
        return web.Response(body=msgspec.json.encode(result), content_type="application/json")

    async def _ask(self, source: UpstreamSource, project: str) -> UpstreamTest:
        if source.fault:
            return UpstreamTest(False, 0, 0.0, source.fault)
        url, accept = source.url, "*/*"
        if project:
            protocol = protocol_named(source.protocol)
            asked = protocol.upstream_request(protocol.index_identity(project), source.url)
            url, accept = asked.url, asked.accept
        started = time.perf_counter()
        try:
            async with (
                asyncio.timeout(TEST_SECONDS),
                self._http.stream(source, url, headers={"accept": accept}, lane="index") as response,
            ):
                status = response.status
            if status < 500 and status != 429:
                await self._breakers.succeeded(Asked(source, url, "index"))
        except TimeoutError:
            return UpstreamTest(False, 0, _since(started), f"no answer within {TEST_SECONDS:.0f} s")
        except OrchardError as error:
            log.warning("upstream_not_reached", source=source.name, error=error.code, message=error.message)
            await self._breakers.failed(Asked(source, url, "index"), error)
            return UpstreamTest(False, 0, _since(started), error.message)
        known = bool(source.username or source.password or source.token)
        ok, detail = _judged(status, project, with_credentials=known)
        return UpstreamTest(ok, status, _since(started), detail)


def _judged(status: int, project: str, *, with_credentials: bool) -> tuple[bool, str]:
    if status in (401, 403):
        what = "refuses the credentials" if with_credentials else "asks for credentials"
        return False, f"the upstream {what}"
    if status < 400:
        return True, f"it has {project}" if project else "it answers"
    if status in _WITHOUT_A_PAGE:
        if project:
            return False, f"it answers, and does not have {project}"
        return True, "it answers; its root has no page, so credentials were not proved"
    return False, "the upstream fails"


def _since(started: float) -> float:
    return round(time.perf_counter() - started, 3)
