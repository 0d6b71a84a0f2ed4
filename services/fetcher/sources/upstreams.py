"""Requests to upstream sources: order, retries, deadlines, and the meaning of answers.

The next source is asked only after a true 404 or 410 (`policy.reading_of`). A failure, a refusal or
an invalid answer of one source never falls through to the next: that would let another registry's project
of the same name take its place (dependency confusion).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

import msgspec

from services.fetcher.http import fields
from services.fetcher.http.errors import error_of_status
from services.fetcher.http.manager import HttpClientManager
from services.fetcher.http.pool import Lane
from services.fetcher.http.response import FetchedBody, UpstreamResponse
from services.fetcher.sources import chained, refusals
from services.fetcher.sources.breakers import Breakers
from services.fetcher.sources.chained import Installations
from services.fetcher.sources.described import SourceDocuments, Validators
from services.fetcher.sources.patience import head_seconds, silent
from services.fetcher.sources.policy import reading_of
from services.fetcher.sources.probes import Asked, Kind
from shared.errors import (
    Blocked,
    Offline,
    OrchardError,
    SourceUnusable,
    TooLarge,
    UpstreamInvalid,
    UpstreamStrayed,
)
from shared.errors.passing import UpstreamUnavailable
from shared.imports.rows import is_import
from shared.models import UpstreamSource
from shared.protocols.base import PackageProxyBase
from shared.protocols.roles.upstream import FileHeaders, UpstreamRequest
from shared.settings import Settings
from shared.sources.urls import same_host

TRIES = 3
MAX_PASSED_ON_BYTES = 32 * 1024 * 1024
RETRY_WITHIN_SECONDS = 4.0  # of the first try's start: a waiting client is answered within ten


Opened = Callable[[UpstreamSource, UpstreamResponse], None]
"""Told of an index before its body is read; it may set what is to follow that (`UpstreamResponse.also`)."""


class IndexAnswer(msgspec.Struct, frozen=True):
    """A source's answer for an index: status 200 with a body, or 304."""

    source: UpstreamSource
    response: FetchedBody

    @property
    def not_modified(self) -> bool:
        return self.response.status == 304

    @property
    def old(self) -> UpstreamUnavailable | None:
        """Why it may be out of date: its source is an Orchard whose own upstream cannot be asked."""
        if not chained.is_stale(self.response.headers):
            return None
        return UpstreamUnavailable(f"upstream {self.source.name} cannot ask its own upstream")


class Upstreams:
    """Requests on behalf of jobs, under breakers and deadlines."""

    def __init__(
        self,
        http: HttpClientManager,
        breakers: Breakers,
        documents: SourceDocuments,
        settings: Settings,
        installations: Installations,
    ) -> None:
        self._http = http
        self._breakers = breakers
        self._documents = documents
        self._settings = settings
        self._installations = installations
        self.had_something: dict[int, float] = {}  # source → monotonic seconds of its last 200 or 304

    def head_seconds(self, source: UpstreamSource, *, page: bool = False) -> float:
        """See the function."""
        return head_seconds(self._settings, source, page=page)

    @property
    def offline(self) -> bool:
        """No upstream is asked at all (ORCHARD_OFFLINE)."""
        return self._settings.offline

    def cut_off(self, sources: Iterable[UpstreamSource]) -> bool:
        """Whether any of these is out of reach (ORCHARD_OFFLINE): all are but imports, which lie here."""
        return self.offline and not all(is_import(each.url) for each in sources)

    async def ask_index(
        self,
        protocol: PackageProxyBase,
        identity: str,
        candidates: Sequence[UpstreamSource],
        validators: Validators | None = None,
        opened: Opened | None = None,
    ) -> IndexAnswer | None:
        """The first candidate's answer that is not a 404; None if all answer 404. One that has it blocked
        withholds what it has itself: another of the same owner may have it too.

        Raises `Offline`, the failure of the first source that failed, or else what was blocked.
        """
        refused: Blocked | None = None
        for candidate in candidates:
            source = await self.described(protocol, candidate)
            asked = protocol.upstream.upstream_request(identity, source)
            try:
                response = await self._ask(source, asked, validators, self._settings.max_index_bytes, opened)
            except Blocked as error:
                refused = refused or error
                continue
            if response is not None:
                return IndexAnswer(source, response)
        if refused is not None:
            raise refused
        return None

    async def foresee(self, protocol: PackageProxyBase, identity: str, source: UpstreamSource) -> None:
        """Read now whether an index may be asked for: `ask_index` does not read it then. Never raises."""
        asked = protocol.upstream.upstream_request(identity, source)
        await self._breakers.foresee(Asked(source, asked.url, "index"))

    async def described(self, protocol: PackageProxyBase, source: UpstreamSource) -> UpstreamSource:
        """The source with what it says of itself; see `SourceDocuments.described`."""
        return await self._documents.described(protocol, source, self._ask)

    async def is_described_now(self, protocol: PackageProxyBase, source: UpstreamSource) -> bool:
        """Whether that is what it says now; see `SourceDocuments.is_current`."""
        return await self._documents.is_current(protocol, source, self._ask)

    async def _ask(
        self,
        source: UpstreamSource,
        asked: UpstreamRequest,
        validators: Validators | None,
        max_bytes: int,
        opened: Opened | None = None,
    ) -> FetchedBody | None:
        """What a source answers, status 200 or 304; None if it truly lacks it."""
        if self.cut_off((source,)):
            raise Offline("ORCHARD_OFFLINE is set: no upstream is asked")
        headers = {"accept": asked.accept}
        if validators is not None and validators.source_id == source.id:
            headers |= fields.conditions(validators.headers())

        def begun(response: UpstreamResponse) -> None:
            if opened is not None and _is_current(source, asked.url, response):
                opened(source, response)

        page = not asked.file
        if asked.headers_only:
            response = await self._describe(source, asked.url, headers)
        else:
            response = await self._fetch(
                source, asked.url, headers, max_bytes, "index", page=page, begun=begun
            )
        reading = reading_of(source, response.status, asked.url, response.url, page=page)
        if reading == "absent":
            return None
        if reading == "strayed":
            raise UpstreamStrayed(f"upstream {source.name} left it to another place to answer")
        if response.status == 304 and "if-none-match" not in headers and "if-modified-since" not in headers:
            raise UpstreamInvalid(f"upstream {source.name} answered 304 to an unconditional request")
        if response.status not in (200, 304):
            raise UpstreamInvalid(f"upstream {source.name} answered {response.status} to a plain request")
        return response

    async def lists(self, protocol: PackageProxyBase, identity: str, owner: Sequence[UpstreamSource]) -> bool:
        """Whether an owner that lacks a document or a file has its project all the same: then nobody else
        is asked for it, or a stranger could add to the project. Raises as `ask_index` does."""
        project = protocol.grammar.project_of(identity)
        if not project or identity == protocol.grammar.index_identity(project):
            return False
        return await self.lists_project(protocol, project, owner)

    async def lists_project(
        self, protocol: PackageProxyBase, project: str, owner: Sequence[UpstreamSource]
    ) -> bool:
        """Whether an owner has an index of the project, empty or not. Raises as `ask_index` does."""
        return await self.ask_index(protocol, protocol.grammar.index_identity(project), owner) is not None

    async def _describe(self, source: UpstreamSource, url: str, headers: Mapping[str, str]) -> FetchedBody:
        """The headers of a file as a document (`FileHeaders`); its bytes are left where they are."""
        seconds = self.head_seconds(source)
        try:
            async with asyncio.timeout(seconds):
                for method in ("HEAD", "GET"):  # some refuse HEAD: then a GET, given up after its head
                    async with self.open_file(
                        source, url, method=method, headers=headers, lane="index", kind="index"
                    ) as response:
                        if method == "HEAD" and response.status in (400, 405, 501):
                            continue
                        found = response.headers
                        names = FileHeaders.__struct_fields__
                        described = FileHeaders(*(found.get(each.replace("_", "-"), "") for each in names))
                        kept = {"etag": described.etag, "last-modified": described.last_modified}
                        body = msgspec.json.encode(described)
                        return FetchedBody(response.status, kept, response.url, body)
        except TimeoutError:
            raise silent(source, seconds) from None
        raise UpstreamInvalid(f"upstream {source.name} refuses HEAD and GET")

    async def fetch_small(self, source: UpstreamSource, url: str, *, max_bytes: int) -> FetchedBody:
        """A small file that goes with another one, whole: status 200, 404 or 410.

        Raises as `ask_index` does.
        """
        response = await self._fetch(source, url, {}, max_bytes, "other")
        if response.status not in (200, 404, 410):
            raise UpstreamInvalid(f"upstream {source.name} answered {response.status} to a plain request")
        return response

    async def _admit(self, asked: Asked, *, again: bool = False) -> None:
        """Raises `SourceUnusable` for one whose credentials cannot be opened (it is never asked without
        them: a 404 to a stranger would pass for a true one), and what `Breakers.check` raises."""
        if asked.source.fault:
            raise SourceUnusable(f"upstream {asked.source.name} cannot be asked: {asked.source.fault}")
        await self._breakers.check(asked, again=again)

    async def _fetch(
        self,
        source: UpstreamSource,
        url: str,
        headers: Mapping[str, str],
        max_bytes: int,
        kind: Kind,
        *,
        page: bool = False,
        begun: Callable[[UpstreamResponse], None] = lambda _: None,
    ) -> FetchedBody:
        asked = Asked(source, url, kind)
        seconds = self.head_seconds(source, page=page)
        await self._admit(asked)
        started = time.monotonic()
        for attempt in range(1, TRIES + 1):
            try:
                response = await self._http.fetch(
                    source,
                    url,
                    headers=headers,
                    max_bytes=max_bytes,
                    head_seconds=seconds,
                    deadline_seconds=max(seconds, self._settings.http_read_timeout),
                    begun=begun,
                )
                await self._installations.note(source, response.headers)
                response.status = refusals.status_at(source, response.status, page=page)
                error = refusals.error_of(source, response.status, response.headers, response.body)
                if error is None:
                    await self._succeeded(asked, response.status, response.url)
                    return response
            except UpstreamUnavailable as failure:
                error = failure
            except OrchardError as failure:  # a time-out has used the time up; no second try of the rest
                await self._breakers.failed(asked, failure)
                raise
            late = time.monotonic() - started > RETRY_WITHIN_SECONDS
            if not isinstance(error, UpstreamUnavailable) or error.asked_to_wait or late or attempt == TRIES:
                await self._breakers.failed(asked, error)
                raise error
            await asyncio.sleep(random.uniform(0.5, 1.5) * 0.15 * attempt)
        raise AssertionError("the last try returns or raises")

    async def pass_on(
        self, source: UpstreamSource, url: str, *, method: str, headers: Mapping[str, str], body: bytes
    ) -> FetchedBody:
        """One request of a client, sent once: the upstream's answer with any status.

        Breakers count only that the source cannot be reached, or sends Retry-After: many a registry answers
        searches and audits with 500 or not at all while its packages are fine. Raises `Offline`, `TooLarge`,
        `UpstreamTimeout` and what
        `HttpClientManager.stream` raises.
        """
        if self.offline:
            raise Offline("ORCHARD_OFFLINE is set: no upstream is asked")
        asked = Asked(source, url, "other")
        await self._admit(asked)
        try:
            answer = await self._pass_on(source, url, method, headers, body)
        except UpstreamUnavailable as failure:
            await self._breakers.failed(asked, failure)
            raise
        error = error_of_status(answer.status, answer.headers, f"upstream {source.name}")
        if error is None:
            await self._breakers.succeeded(asked)
        elif error.asked_to_wait:
            await self._breakers.failed(asked, error)
        return answer

    async def _pass_on(
        self, source: UpstreamSource, url: str, method: str, headers: Mapping[str, str], body: bytes
    ) -> FetchedBody:
        content = body if method == "POST" else None
        # The answer is of no use once its client has gone.
        seconds = max(1.0, self._settings.request_seconds(source.protocol) - 1.0)
        try:
            async with (
                asyncio.timeout(seconds),
                self._http.stream(
                    source, url, method=method, headers=headers, content=content, lane="index"
                ) as response,
            ):
                received = bytearray()
                async for piece in response.chunks():
                    received += piece
                    if len(received) > MAX_PASSED_ON_BYTES:
                        raise TooLarge(f"upstream {source.name} sent more than {MAX_PASSED_ON_BYTES} bytes")
                return FetchedBody(response.status, response.headers, url, bytes(received))
        except TimeoutError:
            raise silent(source, seconds) from None

    @contextlib.asynccontextmanager
    async def open_file(
        self,
        source: UpstreamSource,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        lane: Lane = "artifact",
        kind: Kind = "file",
        expected_bytes: int = 0,
        again: bool = False,
    ) -> AsyncIterator[UpstreamResponse]:
        """One request for a file: status 200, 206, 404, 410 or 416 (405 too for HEAD).

        `expected_bytes`: see `HttpClientManager.stream`. `again`: the same run asked for it before.

        Raises the error of any other status, and what `HttpClientManager.stream` raises. Does not
        retry: whoever downloads resumes.
        """
        asked = Asked(source, url, kind)
        await self._admit(asked, again=again)
        async with contextlib.AsyncExitStack() as held:
            try:
                response = await held.enter_async_context(
                    self._http.stream(
                        source,
                        url,
                        method=method,
                        headers=headers,
                        lane=lane,
                        expected_bytes=expected_bytes,
                    )
                )
                await self._installations.note(source, response.headers)
                response.status = refusals.status_at(source, response.status)
                error = await refusals.error_of_stream(source, response)
                if error is not None and not (method == "HEAD" and response.status in (400, 405, 501)):
                    raise error
            except OrchardError as failure:
                if method != "HEAD":  # many a source refuses that alone
                    await self._breakers.failed(asked, failure)
                raise
            await self._succeeded(asked, response.status, response.url)
            yield response

    async def _succeeded(self, asked: Asked, status: int, url: str) -> None:
        if status in (200, 206, 304) and same_host(asked.source.url, url):
            self.had_something[asked.source.id] = time.monotonic()
        await self._breakers.succeeded(asked)

    async def has(self, source: UpstreamSource, url: str) -> bool:
        """Whether the source itself answers 200 there, now. A failure counts as no."""
        try:
            async with asyncio.timeout(self.head_seconds(source, page=True)):
                for method in ("HEAD", "GET"):
                    async with self.open_file(
                        source, url, method=method, lane="index", kind="index"
                    ) as response:
                        if method == "GET" or response.status not in (400, 405, 501):
                            return response.status == 200 and same_host(source.url, response.url)
        except (OrchardError, TimeoutError):
            return False
        return False


def _is_current(source: UpstreamSource, asked: str, response: UpstreamResponse) -> bool:
    """Whether a page's answer is the page, of the source itself, and as its own upstream has it now."""
    if response.status != 200 or chained.is_stale(response.headers):
        return False
    return reading_of(source, response.status, asked, response.url, page=True) == "here"
