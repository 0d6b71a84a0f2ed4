"""The same lines, each the path of a file here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.protocols.toy import names

from shared.models import SealedFile
from shared.policy.project import ProjectVerdicts
from shared.protocols.roles.pages import Pages, Rendering


class ToyPages(Pages):
    per_base_url = staticmethod(names.has_address)

    def without_blocked(
        self,
        identity: str,
        body: bytes,
        verdicts: ProjectVerdicts,
        sealed: Mapping[tuple[str, str], SealedFile],
    ) -> bytes:
        url, *lines = body.decode().splitlines()
        files = [line.split() for line in lines]
        kept = [
            f"{filename} {digest}"
            for filename, digest in files
            if verdicts.of_file(names.version_of(filename), filename, digest).allowed
        ]
        return "\n".join([url, *kept]).encode()

    def rewrite_index(
        self, identity: str, document: Any, *, sealed: Mapping[tuple[str, str], SealedFile], base_url: str
    ) -> dict[str, Rendering]:
        if names.has_address(identity):
            return {"text": Rendering(base_url.encode(), "text/plain")}
        lines = [f"{digest}/{filename}" for filename, digest in document[1].items()]
        return {"text": Rendering("\n".join(lines).encode(), "text/plain")}
