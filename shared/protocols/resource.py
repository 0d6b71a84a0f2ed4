"""`Resource`: what a request names, parsed by a protocol's grammar."""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.http.conditions import CODINGS
from shared.models import FileName

ABSENT = "absent/"  # what the identities of absent files begin with


class Resource(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a request names, canonical: equal requests give equal resources and so one cache key."""

    protocol: str
    kind: Literal["index", "artifact", "forward", "own"]  # own: Orchard's alone, of no source
    identity: str  # cache identifier: "simple/flask", "simple/", "json/flask", "flask/<id>/<file>"
    project: str = ""  # normalised; "" for a list of all projects
    version: str = ""
    file_id: str = ""  # artifact: SHA256 hex or stable id
    filename: str = ""
    sha256: str = ""  # artifact: the digest that the URL promises, "" when it promises none
    representation: str = ""  # index: which rendering ("json", "html")
    content_type: str = ""  # index: the exact media type to answer with; "" = the variant's own
    per_base_url: bool = False  # bodies hold absolute URLs: one variant per public base URL
    honours_no_cache: bool = True  # Maven's clients send no-cache always: False there
    vary: str = "Accept, Accept-Encoding"
    sidecar: str = ""  # artifact: the hash of the file that is asked for instead of the file ("sha1")
    direct: bool = False  # artifact: no index lists it, its address follows from its name (`direct_entry`)
    pointer: str = ""  # artifact: the index that tells which file is at this address now (`file_id` follows)
    forward_path: str = ""  # forward: the upstream's path for a request that is passed on, never cached
    forward_fallback: bytes = b""  # forward: the JSON to answer here, or where nobody else does
    content_codings: tuple[str, ...] = CODINGS
    view: str = ""  # that it is asked for in (shared/protocols/reading/views.py); "": in none

    @property
    def file(self) -> FileName:
        """Of an artifact."""
        return FileName(self.protocol, self.project, self.file_id, self.filename)

    @property
    def absence_identity(self) -> str:
        """The identity of the absence of a direct file, beside those of indexes."""
        return f"{ABSENT}{self.identity}"


class DocumentName(msgspec.Struct, frozen=True, order=True):
    """A file of the same protocol, as `Grammar.artifact_resource` takes it."""

    project: str
    file_id: str
    filename: str


class Redirect(msgspec.Struct, frozen=True):
    """The request names something by another spelling: `location` is relative, never a host."""

    location: str
    status: int = 301
