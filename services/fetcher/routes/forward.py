"""POST /forward/{protocol}: one request of a client, forwarded to the protocol's first source.

For what is never cached (searches, audits). Only gateways may ask: they know the token from this process's
heartbeat (shared/worker/tokens.py), and only for the paths that a protocol forwards. The source's own
credentials are used; nothing of the client's goes upstream but the body, its type and its coding. Names that
belong to another source are removed from it first. An audit is answered from feeds of advisories, where these
tell of vulnerabilities: nobody is asked then.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence

import msgspec
from aiohttp import web

from services.fetcher.http.response import FetchedBody, decode_body
from services.fetcher.sources import refusals
from services.fetcher.sources.policy import candidates
from services.fetcher.sources.upstreams import Upstreams
from services.fetcher.sources.watcher import SourceWatcher
from shared.access.watcher import AccessWatcher
from shared.artifacts.repository import ArtifactRepository
from shared.errors import OrchardError, TooLarge, UpstreamRefused
from shared.errors.passing import UpstreamUnavailable
from shared.http import via
from shared.models import UpstreamSource
from shared.policy.advisories import Advisory
from shared.process.threads import BoundedThreads
from shared.protocols import find_protocol
from shared.protocols.base import PackageProxyBase
from shared.protocols.roles.upstream import Passed
from shared.sources.answers import ABOUT_THE_REQUEST, NOT_OFFERED
from shared.telemetry.logs import get_logger

log = get_logger()

_encode = msgspec.json.Encoder().encode

NO_REFUSAL = NOT_OFFERED | ABOUT_THE_REQUEST
MAX_REQUEST_BYTES = 8 * 1024 * 1024
MAX_UNPACKED_BYTES = 32 * 1024 * 1024
INLINE_BYTES = 4 * 1024  # compressed bytes: read faster than switching to a thread
_PATH = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/?%-]{1,4096}")
_VALUE = re.compile(r"[\x20-\x7e]{0,256}")


class ForwardRoute:
    """The route, guarded by a token."""

    def __init__(
        self,
        upstreams: Upstreams,
        sources: SourceWatcher,
        artifacts: ArtifactRepository,
        threads: BoundedThreads,
        access: AccessWatcher,
        *,
        tokens: Sequence[str],
    ) -> None:
        """`tokens`: any of them opens it."""
        self._upstreams = upstreams
        self._sources = sources
        self._artifacts = artifacts
        self._threads = threads
        self._access = access
        self._tokens = [each.encode() for each in tokens]

    @property
    def routes(self) -> list[web.RouteDef]:
        """For `WorkerHttp`."""
        return [web.post("/forward/{protocol}", self.handle)]

    async def handle(self, request: web.Request) -> web.Response:
        """200 with the upstream's body and its status in `x-orchard-status`; 503 with an `ErrorValue` when it
        gave none, or refused."""
        given = request.headers.get("x-orchard-token", "").encode("utf-8", "replace")
        if not any(hmac.compare_digest(given, each) for each in self._tokens):
            return web.Response(status=403)
        method = request.headers.get("x-orchard-method", "")
        path = request.headers.get("x-orchard-path", "")
        name = request.match_info["protocol"]
        protocol = find_protocol(name)
        if protocol is None or not _PATH.fullmatch(path) or not protocol.forwarding.passes_on(method, path):
            return web.Response(status=400)
        headers = {"accept": request.headers.get("accept", "*/*")}
        for name in ("content-type", "content-encoding"):
            value = request.headers.get(f"x-orchard-{name}", "")
            if value:
                headers[name] = value
        if not all(_VALUE.fullmatch(value) for value in headers.values()):
            return web.Response(status=400)
        before = via.via_value("", request.headers.get("x-orchard-via", ""))
        via.received.set(",".join(via.names_in(before)))
        try:
            body = await _read(request)
            audit = await self._audited(protocol, path, headers, body)
            if audit is not None:
                return web.Response(
                    body=audit, content_type="application/json", headers={"x-orchard-status": "200"}
                )
            found = self._sources.current(protocol.name)
            asked = candidates(found.sources, "") if found is not None else []
            if found is None or not asked:
                raise UpstreamUnavailable("no upstream source may be asked")
            # A source with include patterns is asked for nothing but those names.
            source = next((each for each in asked if not each.include), asked[0])
            passed = await self._without_others(protocol, found.sources, source, path, headers, body)
            if passed is not None:
                headers.pop("content-encoding", None)
                body = passed.body
                if passed.instead:
                    return web.Response(
                        body=passed.instead,
                        content_type="application/json",
                        headers={"x-orchard-status": "200"},
                    )
            answer = await self._upstreams.pass_on(
                source, source.url.rstrip("/") + "/" + path, method=method, headers=headers, body=body
            )
            refusal = refusals.error_of(source, answer.status, answer.headers, answer.body)
            if isinstance(refusal, UpstreamRefused) and answer.status not in NO_REFUSAL:
                raise refusal
            answer.body = await self._readable(protocol, path, answer)
        except OrchardError as error:
            log.info("not_forwarded", path=path.partition("?")[0], error=error.code)
            return web.Response(status=503, body=_encode(error.to_value()), content_type="application/json")
        kind = answer.headers.get("content-type", "")
        return web.Response(
            body=answer.body,
            headers={
                "content-type": kind if kind and _VALUE.fullmatch(kind) else "application/json",
                "x-orchard-status": str(answer.status),
            },
        )

    async def _audited(
        self, protocol: PackageProxyBase, path: str, headers: Mapping[str, str], body: bytes
    ) -> bytes | None:
        """The answer to an audit from the feeds of advisories; None: it is none, or they tell of malware
        alone. Raises `MalformedRequest`."""
        advisories = self._access.advisories
        if advisories is None or not await self._threads.run(advisories.tells_vulnerabilities, protocol.name):
            return None

        def answer() -> bytes | None:
            plain = decode_body(body, headers.get("content-encoding", ""), max_bytes=MAX_UNPACKED_BYTES)
            return protocol.forwarding.audited(path, plain, told)

        def told(name: str) -> tuple[Advisory, ...]:
            names = protocol.names
            return advisories.of(protocol.name, names.named_alike(names.canonical_name(name)))

        return await self._threads.run(answer)

    async def _readable(self, protocol: PackageProxyBase, path: str, answer: FetchedBody) -> bytes:
        """The decoded body. Raises `UpstreamInvalid` for a success whose body is invalid."""
        if len(answer.body) > INLINE_BYTES:
            return await self._threads.run(_readable, protocol, path, answer)
        return _readable(protocol, path, answer)

    async def _without_others(
        self,
        protocol: PackageProxyBase,
        sources: Sequence[UpstreamSource],
        source: UpstreamSource,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
    ) -> Passed | None:
        """The request without the names that are bound or pinned to other sources than the asked one; None
        if it has none left. Raises `MalformedRequest` if its names cannot be read."""
        coding = headers.get("content-encoding", "")
        if len(body) > INLINE_BYTES:
            body, named = await self._threads.run(_names_in, protocol, path, coding, body)
        else:
            body, named = _names_in(protocol, path, coding, body)
        projects = [name for name in named if name.isascii() and name.isprintable()]
        pins = await self._artifacts.pinned_sources(protocol.name, projects) if projects else {}
        withheld = {name for name in named if source not in candidates(sources, name, pins.get(name, ()))}
        if not withheld:
            return None
        log.info("names_withheld", source=source.name, count=len(withheld))
        return await self._threads.run(protocol.forwarding.without_names, path, body, withheld)


def _names_in(
    protocol: PackageProxyBase, path: str, coding: str, body: bytes
) -> tuple[bytes, frozenset[str]]:
    plain = decode_body(body, coding, max_bytes=MAX_UNPACKED_BYTES)
    return plain, protocol.forwarding.named_in(path, plain)


def _readable(protocol: PackageProxyBase, path: str, answer: FetchedBody) -> bytes:
    """Decodes a coding that was not asked for."""
    body = decode_body(answer.body, answer.content_encoding, max_bytes=MAX_UNPACKED_BYTES)
    if answer.status == 200:
        protocol.forwarding.check_passed(path, body)
    return body


async def _read(request: web.Request) -> bytes:
    """The body as it is: its coding travels in a header of ours, so that nothing here unpacks it."""
    pieces = bytearray()
    async for piece in request.content.iter_any():
        pieces += piece
        if len(pieces) > MAX_REQUEST_BYTES:
            raise TooLarge(f"the request has more than {MAX_REQUEST_BYTES} bytes")
    return bytes(pieces)
