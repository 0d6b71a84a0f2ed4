"""Sources, pins and cached pages, as the API under /api/v1/admin tells them.

Fields are only ever added. Times are unix seconds. No answer holds a secret.
"""

from __future__ import annotations

import msgspec

from services.gateway.api.types import Input
from shared.http.via import Installation
from shared.sources.options import SourceOptions


class NewUpstream(Input, frozen=True):
    """A source to make. Credentials: user name and password, or a token (sent as its protocol says)."""

    protocol: str
    name: str
    url: str
    username: str = ""
    password: str = ""
    token: str = ""
    # Further hosts that get them: where its files are.
    credential_hosts: list[str] = msgspec.field(default_factory=list)
    priority: int = 100  # lower is asked first
    allow_private: bool = False  # may lead to private addresses
    patterns: list[str] = msgspec.field(
        default_factory=list
    )  # names that are asked here and nowhere else, such as corp-*
    exclude: list[str] = msgspec.field(default_factory=list)  # names never asked here
    allowed_hosts: list[str] = msgspec.field(
        default_factory=list
    )  # hosts that files may come from; [] = any global one
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
    credential_hosts: list[str] | None = None  # goes with the credentials: [] where it is left out
    allow_private: bool | None = None
    patterns: list[str] | None = None
    exclude: list[str] | None = None
    allowed_hosts: list[str] | None = None
    options: SourceOptions | None = None  # replaced whole


class LeftAlone(msgspec.Struct, frozen=True):
    """An open breaker: what of a source is not asked just now."""

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
    orchard: Installation | None = None  # what it is, if it said within the hour that it is an Orchard


class Pin(msgspec.Struct, frozen=True):
    """A project and the source that first served it, or those that an operator named: no other is asked
    for it. A group can be pinned too where a protocol has such (`Names.pin_names`)."""

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
