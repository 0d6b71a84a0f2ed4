"""A page is a client of the API: it asks in this process what any other client asks by HTTP.

So it shows what its reader may read and nothing else, and what an operator does on it passes the same guards,
checks and audit, by the same handlers.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast
from urllib.parse import quote, unquote, urlencode

import msgspec
from litestar import Request, Response
from litestar.response import Template

from services.gateway.api.health import HealthReport
from services.gateway.door.sessions import GRANTED, PAGES, granted
from services.gateway.pages.layout import HEADERS
from shared.access.repository import KnownToken
from shared.errors import OrchardError
from shared.errors.base import Problem, problem_of
from shared.version import VERSION

if TYPE_CHECKING:
    from services.gateway.compose import Gateway

T = TypeVar("T")

_TO = re.compile(r"[A-Za-z0-9@._~%+:,=&?/-]{0,2000}")  # an address below the pages, as `way_in` makes it
_KEPT = ("type", "asgi", "http_version", "scheme", "server", "client", "root_path", GRANTED)
_HEADERS = (b"host", b"authorization", b"x-request-id", b"origin", b"sec-fetch-site")
_DECODE: dict[Any, msgspec.json.Decoder[Any]] = {}


class Refused(Exception):
    """What the API answered instead."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class Part(msgspec.Struct, Generic[T], frozen=True):
    """A part of a page: a value, or why there is none."""

    value: T | None = None
    problem: Problem | None = None


class Reader(msgspec.Struct, frozen=True):
    """Who looks at a page."""

    name: str  # of the token; "" without one
    is_operator: bool
    has_session: bool  # that can be ended


class Ask:
    """Made for one request of a page."""

    def __init__(self, request: Request[Any, Any, Any], gateway: Gateway) -> None:
        self.request = request
        self.gateway = gateway
        self._scope = cast("dict[str, Any]", request.scope)

    @property
    def root(self) -> str:
        """From the page that was asked for to `/ui/`. Relative: a proxy may put Orchard under a path."""
        raw: bytes = self._scope.get("raw_path") or self._scope["path"].encode()
        return "../" * raw[len(PAGES) :].count(b"/") or "./"

    @property
    def base(self) -> str:
        """This Orchard's address, as the reader sees it."""
        host = self.request.headers.get("host", "").encode("latin-1", "replace")
        return self.gateway.reader.base_urls.choose(host, self.request.scope["scheme"])

    @property
    def reader(self) -> Reader:
        token = granted(self._scope) or self._by_header()
        return Reader(
            name=token.name if token is not None else "",
            is_operator=token is not None and token.scope == "admin",
            has_session=granted(self._scope) is not None,
        )

    def _by_header(self) -> KnownToken | None:
        authorization = self.request.headers.get("authorization")
        if authorization is None:
            return None
        try:
            client = self.request.client
            given = authorization.encode("latin-1", "replace")
            return self.gateway.access.grant_all(given, client.host if client else "")
        except OrchardError:
            return None

    async def get(self, path: str, kind: type[T], /, **query: Any) -> T:
        """The API's answer to GET. Raises `Refused`."""
        return self._decoded(await self._answer("GET", path, query, None), kind)

    async def lines(self, path: str, /, **query: Any) -> list[bytes]:
        """The lines of the API's answer to GET. Raises `Refused`."""
        return (await self._answer("GET", path, query, None)).splitlines()

    async def health(self) -> HealthReport:
        """What `/health` tells, whatever its status."""
        _, answer = await self._exchange("GET", "/health", {}, None)
        return self._decoded(answer, HealthReport)

    async def send(self, method: str, path: str, kind: type[T], body: Any = None, **query: Any) -> T:
        """Change something. Raises `Refused`."""
        return self._decoded(await self._answer(method, path, query, body), kind)

    async def part(self, asked: Awaitable[T]) -> Part[T]:
        """The answer, or why there is none: the rest of the page is shown all the same."""
        try:
            return Part(await asked)
        except Refused as error:
            return Part(problem=error.problem)

    def page(self, template: str, title: str, *, status: int = 200, **context: Any) -> Template:
        """A page of this template."""
        shown = {
            "title": title,
            "root": self.root,
            "reader": self.reader,
            "offline": self.gateway.settings.offline,
            "orchard_version": VERSION,
            "here": template,
            "done": self.request.query_params.get("done", ""),
            **context,
        }
        return Template(template, context=shown, headers=HEADERS, status_code=status, media_type="text/html")

    def go(self, to: str, done: str = "") -> Response[bytes]:
        """303 to another page, by its address below `/ui/`; `done`: what has been done, for it to tell."""
        if done:
            to += ("&" if "?" in to else "?") + urlencode({"done": done})
        headers = {"location": self.root + to, "cache-control": "no-store"}
        return Response(b"", status_code=303, headers=headers)

    @staticmethod
    def back(form: Mapping[str, str], otherwise: str) -> str:
        """The page that a form says it stands on."""
        return below(form.get("back", "")) or otherwise

    async def form(self) -> dict[str, str]:
        """The fields of the form that was sent, without spaces around them."""
        fields = await self.request.form()
        return {name: value.strip() for name, value in fields.items() if isinstance(value, str)}

    async def _answer(self, method: str, path: str, query: dict[str, Any], body: Any) -> bytes:
        status, answer = await self._exchange(method, path, query, body)
        if status >= 400:
            raise Refused(_problem(status, answer))
        return answer

    async def _exchange(self, method: str, path: str, query: dict[str, Any], body: Any) -> tuple[int, bytes]:
        headers = [each for each in self._scope["headers"] if each[0] in _HEADERS]
        data = b""
        if body is not None:
            data = msgspec.json.encode(body)
            headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(data))]
        wanted = {name: _text(value) for name, value in query.items() if value not in ("", None)}
        scope = {
            **{name: self._scope[name] for name in _KEPT if name in self._scope},
            "method": method,
            "path": path,
            "raw_path": quote(path).encode(),
            "query_string": urlencode(wanted).encode(),
            "headers": headers,
        }
        return await _call(self._scope["litestar_app"], scope, data)

    @staticmethod
    def _decoded(answer: bytes, kind: type[T]) -> T:
        decoder = _DECODE.get(kind)
        if decoder is None:
            decoder = _DECODE[kind] = msgspec.json.Decoder(kind)
        return cast("T", decoder.decode(answer))


def below(to: str) -> str:
    """An address below the pages; "" of anything else, and of one that leads up again."""
    segments = to.partition("?")[0].split("/")
    inside = _TO.fullmatch(to) and not to.startswith("/") and ":" not in segments[0]
    return to if inside and not {".", ".."} & {unquote(each) for each in segments} else ""


def path_of(*segments: object) -> str:
    """An address of the API out of parts that may hold anything but a slash, save the last."""
    return "/api/v1/" + "/".join(str(each) for each in segments)


def refused(error: OrchardError) -> Refused:
    """The same as the API would tell it."""
    return Refused(problem_of(error, ""))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


async def _call(app: Any, scope: dict[str, Any], body: bytes) -> tuple[int, bytes]:
    sent = False
    status = 500
    parts: list[bytes] = []

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    return status, b"".join(parts)


def _problem(status: int, answer: bytes) -> Problem:
    try:
        return msgspec.json.decode(answer, type=Problem)
    except msgspec.MsgspecError:
        return Problem("about:blank", "Error", status, "no more is known", "", "", "", "")
