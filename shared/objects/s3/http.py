"""The HTTP client of an S3 store: signed requests over aiohttp, each bounded in time and retried.

The SDK's signer signs; GETs use presigned URLs, so that a range needs no signature of its own and a hot
object's URL is signed once. Without TLS objects are read from the sockets themselves (`plain.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
import msgspec
import yarl
from minio.credentials.credentials import Credentials
from minio.signer import presign_v4, sign_v4_s3

from shared.errors.passing import StoreUnavailable
from shared.objects.port import STREAM_CHUNK_BYTES
from shared.objects.s3.bodies import (
    BODY_ERRORS,
    BODY_SILENCE_SECONDS,
    CONNECT_SECONDS,
    S3Body,
)
from shared.objects.s3.config import S3Config, tls_context
from shared.objects.s3.errors import as_error, code_of, is_worth_a_retry, skew_of
from shared.objects.s3.plain import ObjectBody, PlainPool, request_of
from shared.process.bounded import Bounded
from shared.process.circuit import Circuit
from shared.process.periodic import Backoff
from shared.telemetry.logs import get_logger

log = get_logger()

HEAD_SECONDS = 4.0  # until a response begins; the whole of a small request, retries included: CALL_SECONDS
CALL_SECONDS = 8.0  # shorter than any client waits
SLOWEST_UPLOAD = 1024 * 1024  # bytes per second: what an upload is given on top of CALL_SECONDS
TRIES = 3
CONNECTIONS = 1024  # a slow client holds one while its file is streamed
IDLE_SECONDS = 15.0
SILENCES = 4  # in a row, of all requests: then the server is left alone
PROBE_PAUSE_SECONDS = 2.0
PRESIGNED_SECONDS = 3600
_REMEMBERED_URLS = 4096
_REMEMBERED_SECONDS = 1200.0
_EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

Payload = Callable[[], Any]  # a new body for each try: bytes or an async iterator


class S3Response(msgspec.Struct, frozen=True):
    """A small response, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class S3Http:
    """Connections to one bucket. Open it in the loop that uses it; who opens it closes it."""

    def __init__(self, config: S3Config) -> None:
        self.config = config
        self._credentials = Credentials(config.access_key, config.secret_key)
        self._session: aiohttp.ClientSession | None = None
        self._circuit = Circuit(
            self._probe,
            name="object store",
            silences=SILENCES,
            pause_seconds=PROBE_PAUSE_SECONDS,
            on_change=self._report,
        )
        self._signed: Bounded[str, tuple[float, yarl.URL]] = Bounded(_REMEMBERED_URLS)
        self._plain: PlainPool | None = None
        self._reads_plainly = not config.secure  # until the server answers in a way that is not understood

    async def open(self) -> None:
        """Make the pools; connects to nothing yet."""
        if self._reads_plainly:
            server = urlsplit(self.config.endpoint)
            self._plain = PlainPool(server.hostname or "", server.port or 80, connections=CONNECTIONS)
        tls = tls_context(self.config) if self.config.secure else False
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=IDLE_SECONDS, ssl=tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=STREAM_CHUNK_BYTES,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            timeout=aiohttp.ClientTimeout(
                total=None,
                connect=HEAD_SECONDS,
                sock_connect=CONNECT_SECONDS,
                sock_read=BODY_SILENCE_SECONDS,
            ),
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._circuit.aclose()
        if self._plain is not None:
            self._plain.close()
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    # --- requests -------------------------------------------------------------------------------------

    async def call(
        self,
        method: str,
        key: str,
        *,
        query: Mapping[str, str] | None = None,
        payload: Payload | None = None,
        size_bytes: int = 0,
        sha256: str = _EMPTY_SHA256,
        content_type: str = "",
        more_seconds: float = 0.0,
    ) -> S3Response:
        """One signed request, tried again after what a retry may cure. `key` "" is the bucket itself.

        The server compares the body with `sha256` and keeps nothing that differs. Raises
        `StoreUnavailable` (its subclasses say why), after CALL_SECONDS plus the time of a slow upload,
        plus `more_seconds`.
        """
        url = self._address(self.config.endpoint, key, query)
        parts = urlsplit(url)
        what = f"{method} {key or 'the bucket'}"
        headers = {"Content-Length": str(size_bytes)} if payload is not None else {}
        if method == "PUT":
            headers["x-amz-checksum-sha256"] = b64encode(bytes.fromhex(sha256)).decode()
        if content_type:
            headers["Content-Type"] = content_type
        allowed = size_bytes / SLOWEST_UPLOAD + more_seconds

        async def attempt() -> S3Response:
            now = datetime.now(UTC)
            signed: dict[str, Any] = sign_v4_s3(
                method=method,
                url=parts,
                region=self.config.region,
                headers={
                    **headers,
                    "Host": parts.netloc,
                    "x-amz-content-sha256": sha256,
                    "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
                },
                credentials=self._credentials,
                content_sha256=sha256,
                date=now,
            )
            async with asyncio.timeout(HEAD_SECONDS + allowed):
                async with self._open_session.request(
                    method,
                    yarl.URL(url, encoded=True),
                    headers=signed,
                    data=payload() if payload is not None else None,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(
                        connect=HEAD_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=HEAD_SECONDS + allowed
                    ),
                ) as response:
                    body = b"" if method == "HEAD" else await response.read()
                    return S3Response(response.status, response.headers, body)

        last: StoreUnavailable | None = None
        deadline = monotonic() + CALL_SECONDS + allowed
        backoff = _backoff()
        for number in range(TRIES):
            self._check_circuit()
            try:
                response = await attempt()
            except BODY_ERRORS as error:
                self._circuit.silent()
                last = _silent(what, error)
            else:
                self._circuit.answered()
                if response.status < 300:
                    return response
                code = code_of(response.status, response.body)
                last = as_error(what, response.status, code, skew_of(response.headers.get("Date", "")))
                if not is_worth_a_retry(response.status):
                    raise last
            if not await _pause(number, backoff, deadline):
                break
        raise last or StoreUnavailable(f"the object store failed at {what}")

    @contextlib.asynccontextmanager
    async def get(self, key: str, byte_range: str = "") -> AsyncIterator[ObjectBody]:
        """The beginning of an object's response: 200, or 206 or 416 for a range; its body is to be read.

        `byte_range` as in a Range header. Raises as `call`. What goes wrong in the body is one of
        `BODY_ERRORS`, for the caller to go on from there.
        """
        async with contextlib.AsyncExitStack() as held:
            yield await self._begin_get(key, byte_range, held)

    async def _begin_get(self, key: str, byte_range: str, held: contextlib.AsyncExitStack) -> ObjectBody:
        headers = {"Range": byte_range} if byte_range else {}
        what = f"GET {key}"
        last: StoreUnavailable | None = None
        deadline = monotonic() + CALL_SECONDS
        backoff = _backoff()
        for number in range(TRIES):
            self._check_circuit()
            try:
                async with asyncio.timeout(HEAD_SECONDS):
                    body = await self._ask(key, headers, held)
                    self._circuit.answered()
                    if body.status in (200, 206, 416):
                        return body
                    document = await body.read_error()
            except BODY_ERRORS as error:
                self._circuit.silent()
                last = _silent(what, error)
            else:
                code = code_of(body.status, document)
                last = as_error(what, body.status, code, skew_of(body.header("date")))
                if not is_worth_a_retry(body.status):
                    raise last
            await held.aclose()
            if not await _pause(number, backoff, deadline):
                break
        raise last or StoreUnavailable(f"the object store failed at {what}")

    async def _ask(self, key: str, headers: Mapping[str, str], held: contextlib.AsyncExitStack) -> ObjectBody:
        session, url = self._open_session, self._signed_url(key)
        if self._plain is not None and self._reads_plainly:
            request = request_of(url.raw_path_qs, self.config.netloc, headers)
            body = await self._plain.begin(request, held)
            if body is not None:
                return body
            self._reads_plainly = False
            log.info("object_store_read_by_aiohttp", endpoint=self.config.endpoint)
            await held.aclose()
        return await S3Body.begin(session, url, headers, held)

    # --- a server that does not answer ----------------------------------------------------------------

    # Without it each request waits out its whole time, and a gateway fills up with requests that wait. Only
    # silence counts (time-outs, connections refused or cut before a response's head); a refusal is an answer.

    def _check_circuit(self) -> None:
        if self._circuit.is_open:
            raise StoreUnavailable("the object store did not answer lately; it is asked again in a moment")

    async def _probe(self) -> int:
        url = yarl.URL(self._address(self.config.endpoint, "", None), encoded=True)
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                async with self._open_session.head(url, allow_redirects=False):
                    return 0
        except (*BODY_ERRORS, StoreUnavailable):
            return 1

    async def _report(self, is_open: bool) -> None:
        if is_open:
            log.warning("object_store_silent", pause_seconds=PROBE_PAUSE_SECONDS)
        else:
            log.warning("object_store_answers_again")

    # --- signatures -----------------------------------------------------------------------------------

    def presign(
        self,
        method: str,
        key: str,
        *,
        expires_seconds: int,
        query: Mapping[str, str] | None = None,
        public: bool = False,
    ) -> str:
        """A URL that needs no header to be allowed, for `expires_seconds` (at most 7 days). No I/O.

        `public`: at ORCHARD_S3_PUBLIC_ENDPOINT, for somebody else to use.
        """
        endpoint = (self.config.public_endpoint if public else "") or self.config.endpoint
        signed = presign_v4(
            method=method,
            url=urlsplit(self._address(endpoint, key, query)),
            region=self.config.region,
            credentials=self._credentials,
            date=datetime.now(UTC),
            expires=expires_seconds,
        )
        return signed.geturl()

    def _signed_url(self, key: str) -> yarl.URL:
        """The presigned URL of a GET; signing takes 41 µs, so a hot object's is remembered."""
        now = monotonic()
        found = self._signed.get(key)
        if found is not None and found[0] > now:
            return found[1]
        url = yarl.URL(self.presign("GET", key, expires_seconds=PRESIGNED_SECONDS), encoded=True)
        self._signed.put(key, (now + _REMEMBERED_SECONDS, url))
        return url

    def _address(self, endpoint: str, key: str, query: Mapping[str, str] | None) -> str:
        path = f"/{self.config.bucket}"
        if key:
            path += "/" + quote(self.config.name_of(key), safe="/-_.~")
        asked = "?" + urlencode(sorted(query.items()), quote_via=quote, safe="-_.~") if query else ""
        return f"{endpoint}{path}{asked}"

    @property
    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise StoreUnavailable("the object store's connections are closed")
        return self._session


def _silent(what: str, error: BaseException) -> StoreUnavailable:
    if isinstance(error, aiohttp.ClientSSLError):
        return StoreUnavailable("the object store's certificate is not trusted (ORCHARD_CA_FILE)")
    return StoreUnavailable(f"the object store does not answer ({type(error).__name__} at {what})")


def _backoff() -> Backoff:
    return Backoff(0.1, CALL_SECONDS, factor=4.0)


async def _pause(number: int, backoff: Backoff, deadline: float) -> bool:
    """Wait before the next try; False if there is none, or no time for it."""
    pause = backoff.pause()
    if number + 1 >= TRIES or monotonic() + pause >= deadline:
        return False
    await asyncio.sleep(pause)
    return True
