"""From an ASGI scope to a resource and its conditions; what was read once is remembered."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable
from typing import Any

import msgspec

from services.gateway.http.access_log import escape
from services.gateway.http.base_urls import BaseUrls
from services.gateway.http.responses import Send
from services.gateway.serving.index_reply import variants_of
from services.gateway.serving.rebasing import PLACEHOLDER
from shared.access.tokens import as_bearer
from shared.errors import MalformedRequest, MethodNotAllowed, ProxyLoop, RouteNotFound
from shared.http.conditions import Conditions, accepted_codings, wants_revalidation
from shared.http.via import loops, names_in, told
from shared.process.bounded import Bounded
from shared.protocols.base import PackageProxyBase
from shared.protocols.reading.views import PREFIX as VIEWS
from shared.protocols.reading.views import split_view, view_named
from shared.protocols.resource import Redirect, Resource
from shared.settings import upstream_variable

Headers = dict[bytes, bytes]
Key = tuple[str, bytes, bytes, bytes | None, bytes | None, bool]
"""All that decides how a request is read: method, path, query, Accept, Accept-Encoding, and whether it has
an Authorization. Never its value: keys are kept, and secrets are not."""

REMEMBERED = 4096
"""Requests (keys) whose reading is remembered; the oldest is forgotten."""

OWN = (b"/api/v1/", b"/ui/")
"""Below these a path is the gateway's own, whatever it looks like."""

LONGEST_REMEMBERED = 512  # bytes of path and headers

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Target(msgspec.Struct, frozen=True):
    """A request line as read: what it names and how."""

    protocol: PackageProxyBase
    resource: Resource | Redirect
    codings: tuple[str, ...]  # acceptable for an index, the best first
    variants: tuple[str, ...]  # of an index whose bodies do not depend on the base URL; else none
    logged_path: str  # as a JSON string


class RequestIds:
    """Ids for requests that bring none: unique over processes, cheap to make."""

    def __init__(self) -> None:
        self._prefix = os.urandom(5).hex()
        self._numbers = itertools.count(1)

    def of(self, given: bytes | None) -> str:
        """The client's own id if it is well-formed, else a new one."""
        if given is not None and _REQUEST_ID.fullmatch(given):
            return given.decode("ascii")
        return f"{self._prefix}{next(self._numbers):07x}"


def read_headers(scope: Any) -> Headers:
    """Header values by lower-case name; repeated ones joined as RFC 9110 §5.3 says."""
    pairs = scope["headers"]
    headers = dict(pairs)
    if len(headers) != len(pairs):
        headers = {}
        for name, value in pairs:
            headers[name] = headers[name] + b", " + value if name in headers else value
    return headers


def key_of(method: str, raw_path: bytes, query: bytes, headers: Headers) -> Key:
    """The key of a request."""
    get = headers.get
    return method, raw_path, query, get(b"accept"), get(b"accept-encoding"), bool(get(b"authorization"))


def size_of(key: Key) -> int:
    """Bytes of path and headers, which strangers choose."""
    _, raw_path, query, accept, encodings, _ = key
    return len(raw_path) + len(query) + len(accept or b"") + len(encodings or b"")


def seen_by_grammar(key: Key) -> Headers:
    """The request headers that `classify` is given: those of the key, or one client's answer would be
    remembered for another."""
    accept, encodings, authorized = key[3:]
    stand_in = b"*" if authorized else None
    found = {b"accept": accept, b"accept-encoding": encodings, b"authorization": stand_in}
    return {name: value for name, value in found.items() if value is not None}


class RequestReader:
    """Reads requests for one set of protocols."""

    def __init__(
        self,
        protocols: tuple[PackageProxyBase, ...],
        *,
        base_urls: BaseUrls,
        own_name: Callable[[], str],
        edge: bool = False,
    ) -> None:
        """`own_name` returns this installation's name in Via (shared/http/via.py); "" while it is not
        known. `edge`: caches stand in front (ORCHARD_EDGE)."""
        self._edge = edge
        self._mounts = {protocol.mount.strip("/").encode(): protocol for protocol in protocols}
        for protocol in protocols:  # loaded now, not by the first request
            assert protocol.grammar and protocol.names
        self.base_urls = base_urls
        self._own_name = own_name
        self._remembered = Bounded[Key, Target](REMEMBERED)

    def is_protocol_path(self, raw_path: bytes) -> bool:
        """Whether a path is a package request, below a protocol's mount point, in a view or by digest, rather
        than one for the other routes."""
        first = raw_path[1 : raw_path.find(b"/", 1)] if raw_path.find(b"/", 1) > 0 else raw_path[1:]
        return first in self._mounts or first in (b"v", b"cas") or self._mounted(raw_path) is not None

    def protocol_at(self, raw_path: bytes) -> PackageProxyBase | None:
        """The protocol below whose mount point a path lies, in whatever view, or which takes it from the
        root."""
        if raw_path.startswith(VIEWS):
            raw_path = raw_path[raw_path.find(b"/", len(VIEWS)) :]
        found = self._mounted(raw_path)
        return None if found is None else found[0]

    def mount_url(self, protocol: PackageProxyBase, headers: Headers, scheme: str) -> str:
        """The public URL of a protocol's mount point without a trailing slash; "" without a usable Host."""
        try:
            return self.base_urls.choose(headers.get(b"host"), scheme) + protocol.mount[:-1]
        except MalformedRequest:
            return ""

    def with_scheme(self, raw_path: bytes, authorization: bytes) -> bytes:
        """An Authorization header with the scheme that this path's protocol lets its clients leave out."""
        protocol = self.protocol_at(raw_path)
        return (
            as_bearer(authorization)
            if protocol is not None and protocol.grammar.takes_bare_token
            else authorization
        )

    def _mounted(self, raw_path: bytes) -> tuple[PackageProxyBase, bytes] | None:
        """A path's protocol, and the path below that one's mount point, with its leading slash."""
        path = b"/" + raw_path.lstrip(b"/")
        mount, _, rest = path[1:].partition(b"/")
        protocol = self._mounts.get(mount)
        if protocol is not None:
            return protocol, b"/" + rest
        if path.startswith(OWN):
            return None
        return next(
            ((each, path) for each in self._mounts.values() if each.grammar.is_root_relative(path)), None
        )

    def named(self, headers: Headers, send: Send) -> Send:
        """`send`, saying who answers where another Orchard asks (shared/http/via.py)."""
        own = self._own_name()
        if not own or not _via(headers):
            return send
        via = (b"via", told(own).encode())

        async def send_named(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], via]
            await send(message)

        return send_named

    def read(self, key: Key, headers: Headers) -> Target:
        """The target of a request below a protocol's mount point, by its key alone; `headers` tell loops.

        Raises what `classify` raises, `RouteNotFound`, `MethodNotAllowed`, `ProxyLoop`.
        """
        target = self._remembered.get(key)
        if target is None:
            target = self._classify(key)
            if size_of(key) <= LONGEST_REMEMBERED:
                self._remembered.put(key, target)
        if b"via" in headers and loops(_via(headers), self._own_name()):
            name = upstream_variable(target.protocol.name)
            raise ProxyLoop(
                "this request came through this Orchard before: an upstream leads back to it",
                hint=f"Check {name}, here and on the way.",
            )
        return target

    def _classify(self, key: Key) -> Target:
        method, raw_path, query, _, encodings, _ = key
        if method not in ("GET", "HEAD", "POST"):  # which of them an address takes, its grammar says
            raise MethodNotAllowed(f"{method[:16]} is not answered here")
        view, plain_path = split_view(raw_path)
        found = self._mounted(plain_path)
        if found is None:
            raise RouteNotFound("no such protocol")
        protocol, path = found
        try:
            resource = protocol.grammar.classify(method, path, query, seen_by_grammar(key))
        except RouteNotFound:
            if path != b"/":
                raise
            # A person opened the mount point itself, which no client of this protocol asks for.
            resource = Redirect("../" if raw_path.endswith(b"/") else "./", 302)
        if view is not None and isinstance(resource, Resource):
            resource = msgspec.structs.replace(resource, view=view.name)
        codings, variants = Conditions().codings, tuple[str, ...]()
        if isinstance(resource, Resource) and resource.kind == "index":
            codings = accepted_codings(encodings, resource.content_codings)
            if not resource.per_base_url:
                variants = variants_of(resource, Conditions(codings=codings))
        return Target(protocol, resource, codings, variants, escape(raw_path.decode("latin-1")))

    def conditions(
        self, target: Target, scope: Any, method: str, headers: Headers, request_id: str
    ) -> Conditions:
        """The conditions of a request. Raises `MalformedRequest`."""
        resource, codings = target.resource, target.codings
        base_url = shown_url = ""
        if isinstance(resource, Resource) and resource.per_base_url:
            public = self.base_urls.choose(headers.get(b"host"), scope["scheme"])
            below = mount = target.protocol.mount[:-1]
            view = view_named(resource.view) if resource.view else None
            if view is not None:
                below = view.path + mount
            base_url = f"{public}{below}"
            if view is not None and view.kind != "at":  # no page has bodies for each build
                base_url, shown_url = f"{PLACEHOLDER}{mount}", base_url
                codings = ("identity",)
            elif not self.base_urls.keeps(public):
                base_url, shown_url = f"{PLACEHOLDER}{below}", base_url
                codings = ("identity",)  # what is compressed cannot be changed on the way out
        get = headers.get
        return Conditions(
            head=method == "HEAD",
            codings=codings,
            base_url=base_url,
            shown_url=shown_url,
            no_cache=wants_revalidation(get(b"cache-control")),
            if_none_match=get(b"if-none-match", b""),
            if_modified_since=get(b"if-modified-since", b""),
            if_range=get(b"if-range", b""),
            range=get(b"range", b""),
            request_id=request_id,
            via=",".join(_via(headers)) if b"via" in headers else "",
            edge=self._edge,
            needs_length=scope["http_version"] in ("1", "1.0"),  # granian says "1"
        )


def _via(headers: Headers) -> list[str]:
    return names_in(headers.get(b"via", b"").decode("latin-1"))
