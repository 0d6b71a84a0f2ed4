"""From an ASGI scope to a resource and its conditions; what was read once is remembered."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable
from typing import Any

import msgspec

from services.gateway.access_log import escape
from services.gateway.base_urls import BaseUrls
from services.gateway.hot import Key
from shared.errors import MethodNotAllowed, ProxyLoop, RouteNotFound
from shared.protocols.base import PackageProxyBase, Redirect, Resource
from shared.protocols.conditions import Conditions, choose_coding, wants_revalidation
from shared.protocols.flows import variant_name
from shared.protocols.rebasing import PLACEHOLDER
from shared.via import loops, names_in

Headers = dict[bytes, bytes]

REMEMBERED = 4096
"""Requests (path, Accept, Accept-Encoding) whose reading is remembered; then all is forgotten."""

OWN = (b"/api/v1/", b"/ui/")
"""Below these a path is the gateway's own, whatever it looks like."""

LONGEST_REMEMBERED = 512  # bytes of path and headers

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Target(msgspec.Struct, frozen=True):
    """A request line as read: what it names and how."""

    protocol: PackageProxyBase
    resource: Resource | Redirect
    coding: str
    variant: str  # of an index whose bodies do not depend on the base URL; else ""
    logged_path: str  # as a JSON string


class RequestIds:
    """Ids for requests that bring none: unique over processes, cheap to make."""

    def __init__(self) -> None:
        self._prefix = os.urandom(5).hex()
        self._numbers = itertools.count(1)

    def of(self, given: bytes | None) -> str:
        """The client's own id if it is sane, else a new one."""
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


class RequestReader:
    """Reads requests for one set of protocols."""

    def __init__(
        self, protocols: tuple[PackageProxyBase, ...], *, base_urls: BaseUrls, own_name: Callable[[], str]
    ) -> None:
        """`own_name` tells this installation's name in Via (shared/via.py); "" while it is not known."""
        self._mounts = {protocol.name.encode(): protocol for protocol in protocols}
        self.base_urls = base_urls
        self._own_name = own_name
        self._remembered: dict[Key, Target] = {}

    def is_protocol_path(self, raw_path: bytes) -> bool:
        """Whether a path belongs to a protocol (or to a view of one) rather than to the other routes."""
        first = raw_path[1 : raw_path.find(b"/", 1)] if raw_path.find(b"/", 1) > 0 else raw_path[1:]
        return first in self._mounts or first == b"v" or self._mounted(raw_path) is not None

    def protocol_at(self, raw_path: bytes) -> PackageProxyBase | None:
        """The protocol below whose mount point a path lies, or which takes it from the root."""
        found = self._mounted(raw_path)
        return None if found is None else found[0]

    def _mounted(self, raw_path: bytes) -> tuple[PackageProxyBase, bytes] | None:
        """A path's protocol, and the path below that one's mount point, with its leading slash."""
        path = b"/" + raw_path.lstrip(b"/")
        mount, _, rest = path[1:].partition(b"/")
        protocol = self._mounts.get(mount)
        if protocol is not None:
            return protocol, b"/" + rest
        if path.startswith(OWN):
            return None
        return next(((each, path) for each in self._mounts.values() if each.is_root_relative(path)), None)

    def read(self, key: Key, headers: Headers) -> Target:
        """The target of a request below a protocol's mount point, by what alone decides it.

        Raises what `classify` raises, `RouteNotFound`, `MethodNotAllowed`, `ProxyLoop`.
        """
        method, raw_path, query, accept, encodings = key
        target = self._remembered.get(key)
        if target is None:
            target = self._classify(method, raw_path, query, headers, encodings)
            if len(raw_path) + len(query) + len(accept or b"") + len(encodings or b"") <= LONGEST_REMEMBERED:
                if len(self._remembered) >= REMEMBERED:
                    self._remembered.clear()
                self._remembered[key] = target
        if b"via" in headers and loops(_via(headers), self._own_name()):
            raise ProxyLoop("this request came through this Orchard before: an upstream leads back to it")
        return target

    def _classify(
        self, method: str, raw_path: bytes, query: bytes, headers: Headers, encodings: bytes | None
    ) -> Target:
        if method not in ("GET", "HEAD", "POST"):  # which of them an address takes, its grammar says
            raise MethodNotAllowed(f"{method[:16]} is not answered here")
        found = self._mounted(raw_path)
        if found is None:
            raise RouteNotFound(
                "there are no views yet" if raw_path.startswith(b"/v/") else "no such protocol"
            )
        protocol, path = found
        resource = protocol.classify(method, path, query, headers)
        coding, variant = "identity", ""
        if isinstance(resource, Resource) and resource.kind == "index":
            coding = choose_coding(encodings, resource.content_codings)
            if not resource.per_base_url:
                variant = variant_name(resource, Conditions(coding=coding))
        return Target(protocol, resource, coding, variant, escape(raw_path.decode("latin-1")))

    def conditions(
        self, target: Target, scope: Any, method: str, headers: Headers, request_id: str
    ) -> Conditions:
        """The conditions of a request. Raises `MalformedRequest`."""
        resource, coding = target.resource, target.coding
        base_url = shown_url = ""
        if isinstance(resource, Resource) and resource.per_base_url:
            public = self.base_urls.choose(headers.get(b"host"), scope["scheme"])
            base_url = f"{public}/{target.protocol.name}"
            if not self.base_urls.keeps(public):
                base_url, shown_url = f"{PLACEHOLDER}/{target.protocol.name}", base_url
                coding = "identity"  # what is compressed cannot be changed on the way out
        get = headers.get
        return Conditions(
            head=method == "HEAD",
            coding=coding,
            base_url=base_url,
            shown_url=shown_url,
            no_cache=wants_revalidation(get(b"cache-control")),
            if_none_match=get(b"if-none-match", b""),
            if_modified_since=get(b"if-modified-since", b""),
            if_range=get(b"if-range", b""),
            range=get(b"range", b""),
            request_id=request_id,
            via=",".join(_via(headers)) if b"via" in headers else "",
            needs_length=scope["http_version"] in ("1", "1.0"),  # granian says "1"
        )


def _via(headers: Headers) -> list[str]:
    return names_in(headers.get(b"via", b"").decode("latin-1"))
