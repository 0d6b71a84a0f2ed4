"""How to ask an npm-like upstream for a document: its address and Accept header."""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import quote

from shared.models import UpstreamSource
from shared.protocols.npm.names import split_identity
from shared.protocols.npm.negotiation import FULL
from shared.protocols.roles.upstream import Upstream, UpstreamRequest


def upstream_request(identity: str, source: UpstreamSource) -> UpstreamRequest:
    """Address of a document at a source whose `url` is its registry root.

    Always the full form: the abbreviated one is derived from it, and lacks `time`. A scope's slash
    is encoded as npm does, which every registry takes.
    """
    root = source.url.rstrip("/")
    kind, name, rest = split_identity(identity)
    escaped = quote(name, safe="@!'()*~")
    if kind == "keys":
        path = "-/npm/v1/keys"
    elif kind == "attestations":
        path = f"-/npm/v1/attestations/{escaped}@{rest}"
    else:
        path = f"{escaped}/{quote(rest, safe='')}" if rest else escaped
    return UpstreamRequest(f"{root}/{path}", FULL)


class NpmUpstream(Upstream):
    """A registry's root."""

    kept_digests: ClassVar[tuple[str, ...]] = ("sha512", "sha1")  # those that packuments tell

    upstream_request = staticmethod(upstream_request)
