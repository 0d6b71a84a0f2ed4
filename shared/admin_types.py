"""The values of the admin API under /api/v1/admin: what OpenAPI describes and clients may rely on.

Fields are only ever added. Times are unix seconds. No answer holds a secret, but for the one that
makes a token.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from shared.source_options import SourceOptions


class Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of bodies that are sent here: a misspelt field is an error, not silence."""

    def __repr__(self) -> str:  # several hold secrets, and a traceback shows its values
        return f"{type(self).__name__}(…)"


class NewUpstream(Input, frozen=True):
    """A source to make. Credentials: user name and password (Basic), or token (Bearer)."""

    protocol: str
    name: str
    url: str
    username: str = ""
    password: str = ""
    token: str = ""
    priority: int = 100  # lower is asked first
    allow_private: bool = False  # may lead to private addresses
    patterns: list[str] = []  # names that are asked here and nowhere else, such as corp-*
    exclude: list[str] = []  # names never asked here
    allowed_hosts: list[str] = []  # hosts that files may come from; [] = any global one
    enabled: bool = True
    options: SourceOptions = SourceOptions()


class UpstreamChange(Input, frozen=True):
    """What of a source to change; what is left out or null stays.

    The three credentials are replaced together: giving one of them drops the others, all three as ""
    leaves none.
    """

    enabled: bool | None = None  # false: paused
    priority: int | None = None
    url: str | None = None
    username: str | None = None
    password: str | None = None
    token: str | None = None
    allow_private: bool | None = None
    patterns: list[str] | None = None
    exclude: list[str] | None = None
    allowed_hosts: list[str] | None = None
    options: SourceOptions | None = None  # replaced whole


class LeftAlone(msgspec.Struct, frozen=True):
    """What is not asked of a source just now."""

    what: str  # "host", "index", "file" or "other"; with "@host:port" where it is not the source's own
    reason: str  # an error code
    message: str
    seconds: float  # left; 0: asked again by the next request, with a probe before it


class Upstream(msgspec.Struct, frozen=True):
    """A source, without its secrets."""

    id: int
    protocol: str
    name: str
    url: str
    priority: int
    enabled: bool
    origin: str  # "env": follows its variable at each start of a fetcher; "operator": made here
    patterns: list[str]
    exclude: list[str]
    allowed_hosts: list[str]
    allow_private: bool
    has_credentials: bool
    options: SourceOptions = SourceOptions()
    failing: str = ""  # why something of it is not asked just now: the code of the first of `left_alone`
    left_alone: list[LeftAlone] = []


class UpstreamTest(msgspec.Struct, frozen=True):
    """How a source answered a fetcher just now."""

    ok: bool
    status: int  # HTTP status; 0 when there was no answer
    seconds: float
    detail: str


class Pin(msgspec.Struct, frozen=True):
    """A project and the source that first served it, or those that an operator named: no other is asked
    for it. Maven's groups can be pinned too, as "com.acme:*"."""

    protocol: str
    project: str
    source_id: int  # of the first
    source: str  # its name; "" when the source is gone
    pinned_at: float
    sources: tuple[str, ...] = ()  # the names of all, in the order in which they are asked


class NewPin(Input, frozen=True):
    """The only sources that may be asked for a project; of several, what they have is merged."""

    sources: list[str]


class Invalidation(Input, frozen=True):
    """Pages to ask for again: those of one project, or all of a protocol."""

    protocol: str
    project: str = ""
    all: bool = False


class Invalidated(msgspec.Struct, frozen=True):
    """How many cached pages were removed."""

    invalidated: int


class NewBlock(Input, frozen=True):
    """What to block: a name, one version of it, or bytes by SHA256; and why, for all who ask for it."""

    reason: str
    protocol: str = ""
    name: str = ""
    version: str = ""  # "" = every version
    sha256: str = ""


class BlockEntry(msgspec.Struct, frozen=True):
    """A block that is in force."""

    id: int
    protocol: str
    name: str
    version: str
    sha256: str
    reason: str
    created_at: float
    created_by: str


class NewToken(Input, frozen=True):
    """A token to make."""

    name: str
    scope: Literal["read", "admin"] = "read"


class MadeToken(msgspec.Struct, frozen=True):
    """A new token: the only answer that ever shows it."""

    id: int
    name: str
    scope: str
    token: str

    def __repr__(self) -> str:
        return f"MadeToken(id={self.id})"


class TokenEntry(msgspec.Struct, frozen=True):
    """A token that is known here, without the token."""

    id: int
    name: str
    scope: str
    created_at: float
    created_by: str
    last_used_at: float | None  # to some minutes; null: never


class AuditEntry(msgspec.Struct, frozen=True):
    """One change by the admin API."""

    id: int
    at: float
    actor: str  # the token's name
    action: str  # such as "upstream.change"
    subject: str
    before: Any  # without secrets; null where there was nothing
    after: Any
    request_id: str


class Removed(msgspec.Struct, frozen=True):
    """What is no more."""

    removed: str
