"""Where a shop keeps the index of a toy, and where it says that its files lie."""

from __future__ import annotations

from typing import ClassVar

from shared.protocols.toy import names

from shared.errors import UpstreamInvalid
from shared.models import UpstreamSource
from shared.protocols.roles.upstream import Lifetime, Upstream, UpstreamRequest


class ToyUpstream(Upstream):
    kept_headers: ClassVar[tuple[str, ...]] = ("x-toy-colour", "x-toy-size")

    def source_document(self, source_url: str) -> UpstreamRequest | None:
        return UpstreamRequest(f"{source_url.rstrip('/')}/about", "text/plain")

    def read_source_document(self, body: bytes) -> object:
        lines = body.decode("ascii", "replace").splitlines()
        if not lines or not lines[0].startswith("files "):
            raise UpstreamInvalid("the shop does not say where its files lie")
        return lines[0].removeprefix("files ")

    def upstream_request(self, identity: str, source: UpstreamSource) -> UpstreamRequest:
        return UpstreamRequest(f"{source.url.rstrip('/')}/{names.project_of(identity)}/index", "text/plain")

    def lifetime(self, identity: str) -> Lifetime:
        if identity.endswith("/steady"):
            return Lifetime(fresh=3600, absent=600, stale=7200)
        return Lifetime()
