"""Where an upstream's answer leads on to, and what may be sent there."""

from __future__ import annotations

import base64
from urllib.parse import urljoin

import httpx

from services.fetcher.http import fields
from services.fetcher.http.egress import Origin, gets_credentials
from shared.errors import UpstreamBlocked
from shared.models import UpstreamSource
from shared.protocols import protocol_named
from shared.sources.urls import same_host, secured

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


def target_of(response: httpx.Response, url: str, source: UpstreamSource, where: str) -> str:
    """Where a response redirects to; "" if it does not. Raises `UpstreamBlocked` for an invalid address."""
    location = response.headers.get("location")
    if response.status_code not in _REDIRECTS or not location:
        return ""
    try:
        return secured(secured(urljoin(url, fields.address(location)), url), source.url)
    except ValueError:
        raise UpstreamBlocked(f"{where} redirects to an address that is no URL") from None


def may_resend(response: httpx.Response, url: str, target: str) -> bool:
    """Whether a body may go on to where a response redirects to (RFC 9110 §15.4.8, §15.4.9): what it holds
    was meant for this host."""
    try:
        return response.status_code in (307, 308) and same_host(url, target)
    except ValueError:
        return False


def credentials(source: UpstreamSource, origin: Origin) -> dict[str, str]:
    """The Authorization header, for an origin that gets it (`gets_credentials`)."""
    if not gets_credentials(source, origin):
        return {}
    if source.token:
        value = protocol_named(source.protocol).upstream.authorization(source.token)
        return {"authorization": value.encode().decode("latin-1")}  # its bytes are UTF-8, as Basic's
    if not (source.username or source.password):
        return {}
    pair = f"{source.username}:{source.password}".encode()  # UTF-8: RFC 7617 §2.1
    return {"authorization": "Basic " + base64.b64encode(pair).decode()}
