"""Routes for the admin API: seal credentials, and test an upstream or a webhook.

Only fetchers have the key and egress. Only gateways may ask: they know the token from this
process's heartbeat (shared/worker/tokens.py). Credentials come in and only sealed ones go back.
"""

from __future__ import annotations

import asyncio
import hmac
import time

import msgspec
from aiohttp import web

from services.fetcher.http.manager import HttpClientManager
from services.fetcher.http.response import UpstreamResponse, decode_body
from services.fetcher.sources.breakers import Breakers
from services.fetcher.sources.described import MAX_BYTES
from services.fetcher.sources.probes import Asked
from services.fetcher.sources.repository import SourceRepository
from services.fetcher.sources.upstreams import Upstreams
from services.fetcher.webhooks.keeper import WebhookKeeper
from services.fetcher.webhooks.sending import Outcome
from shared.errors import OrchardError, TooLarge
from shared.models import UpstreamSource
from shared.protocols import protocol_named
from shared.protocols.base import PackageProxyBase
from shared.sources.answers import UpstreamTest
from shared.sources.box import SealingBox
from shared.sources.credentials import Credentials
from shared.telemetry.logs import get_logger

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
        upstreams: Upstreams,
        webhooks: WebhookKeeper,
        *,
        token: str,
    ) -> None:
        """`breakers` are updated by what a test finds: a host that cannot be reached, or answers again."""
        self._breakers = breakers
        self._upstreams = upstreams
        self._http = http
        self._repository = repository
        self._box = box
        self._webhooks = webhooks
        self._token = token

    @property
    def routes(self) -> list[web.RouteDef]:
        """For `WorkerHttp`."""
        return [
            web.post("/admin/seal", self.seal),
            web.post("/admin/test/{protocol}/{source_id}", self.test),
            web.post("/admin/webhook/{webhook_id:[0-9]{1,18}}", self.test_webhook),
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

    async def test_webhook(self, request: web.Request) -> web.Response:
        """200 with an `UpstreamTest`, whatever the receiver says; 404 for no such webhook."""
        if not self._may(request):
            return web.Response(status=403)
        started = time.perf_counter()
        try:
            async with asyncio.timeout(TEST_SECONDS):
                found = await self._webhooks.test(int(request.match_info["webhook_id"]))
        except TimeoutError:
            found = Outcome(False, detail=f"no answer within {TEST_SECONDS:.0f} s")
        except OrchardError as error:
            return web.Response(status=503, text=error.message)
        if found is None:
            return web.Response(status=404)
        result = UpstreamTest(found.ok, found.status, _since(started), found.detail)
        return web.Response(body=msgspec.json.encode(result), content_type="application/json")

    async def _ask(self, source: UpstreamSource, project: str) -> UpstreamTest:
        if source.fault:
            return UpstreamTest(False, 0, 0.0, source.fault)
        started = time.perf_counter()
        protocol = protocol_named(source.protocol)
        own = protocol.upstream.source_document(source.url)
        url, accept = (source.url, "*/*") if own is None else (own.url, own.accept)
        document = b""
        if project:
            try:
                described = await self._upstreams.described(protocol, source)
            except OrchardError as error:
                return UpstreamTest(False, 0, _since(started), error.message)
            asked = protocol.upstream.upstream_request(protocol.grammar.index_identity(project), described)
            url, accept = asked.url, asked.accept
        try:
            async with (
                asyncio.timeout(TEST_SECONDS),
                self._http.stream(source, url, headers={"accept": accept}, lane="index") as response,
            ):
                status = response.status
                if own is not None and not project and status == 200:
                    document = await _whole(response)
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
        if own is not None and not project and status not in (401, 403) and status < 500:
            ok, detail = _described(protocol, status, document)  # all else follows from that
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


def _described(protocol: PackageProxyBase, status: int, document: bytes) -> tuple[bool, str]:
    if status != 200:
        return False, "it has nothing at the address by which it describes itself"
    try:
        protocol.upstream.read_source_document(document)
    except OrchardError as error:
        return False, error.message
    return True, "it answers, and says where its files are"


async def _whole(response: UpstreamResponse) -> bytes:
    """A source's document. Raises `TooLarge`, `UpstreamInvalid` for one that cannot be unpacked."""
    body = b""
    async for piece in response.chunks():
        body += piece
        if len(body) > MAX_BYTES:
            raise TooLarge(f"it describes itself by more than {MAX_BYTES} bytes")
    return decode_body(body, response.headers.get("content-encoding", ""), max_bytes=MAX_BYTES)


def _since(started: float) -> float:
    return round(time.perf_counter() - started, 3)
