"""The queue's contract: a class for each kind of job says its name, queue, id and payload. What becomes of
it is in events.py.

Payloads hold identifiers only, never a secret and never a body. A job can run twice: each is
idempotent, and what it writes is fenced by the generation of its claim. One job id per thing
fetched: that is what makes 64 clients one upstream request.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import msgspec

from shared.models import FileName

INDEX = "index"
ARTIFACT = "artifact"
REFRESH = "refresh"  # shed first under load
AHEAD = "ahead"  # what nobody asked for yet; bounded, and never in front of what somebody did
EXTRACT = "extract"
RESOLVE = "resolve"
QUEUES = (INDEX, ARTIFACT, REFRESH, AHEAD, EXTRACT, RESOLVE)


UNTOLD = frozenset(("pypi", "npm", "maven"))
"""Protocols that do not stand in the name under which a job is queued: all versions that are beside this one
know them. Those that came later do (`Job.travels_as`), so that older workers leave such jobs to others."""

IN_USE = "in use"
"""Of a page, for `variant`: only the bodies that it has already. Nobody waits for one of it."""


class Asker(msgspec.Struct, frozen=True, omit_defaults=True):
    """For whom a job is done, as far as reading ahead goes by it (docs/decisions/0037)."""

    client: str  # a digest of who it is: budgets are counted by it
    tool: str  # what the protocol's `Ahead.tool` made of the User-Agent
    wanted: str = ""  # which versions of it, as the protocol's `Ahead` spells that; "": nobody knows
    base_url: str = ""  # with which, and as which body, its client asks for pages; of a job about a file
    variant: str = ""


PROJECTS = "projects"
"""In the place of a protocol: resolutions that go by more than requirements (`Resolve.project`)."""

MANIFESTS = "manifests"
"""The same for whole manifests of projects, in which dependencies are of several kinds."""

ABILITIES = (PROJECTS, MANIFESTS)
"""What workers of this version can do and some beside them cannot, told to the queue as protocols are."""


def abilities_for(project: str) -> tuple[str, ...]:
    """Which of them a project's text asks for (`Resolve.project`): a whole manifest stands alone in it."""
    if not project:
        return ()
    return (MANIFESTS,) if project.startswith('{"manifest":') else (PROJECTS,)


class Job(msgspec.Struct, frozen=True, tag_field="job", omit_defaults=True):
    """Base of all kinds: its fields are the payload, its `tag` the name under which it travels, for ever.

    `request_id` follows the work through gateway, fetcher, extractor. New fields need a default: services of
    the previous version put jobs in without them, and pass over those that they do not know.
    """

    queue: ClassVar[str]
    lower: ClassVar[tuple[str, ...]] = ()
    """Queues in which the same id may wait with less urgency than in `queue`, the most urgent first."""
    relayed: ClassVar[bool] = False  # its bytes can be read from the worker while it runs

    @classmethod
    def name(cls) -> str:
        """The name under which this kind travels."""
        return str(cls.__struct_config__.tag)

    @property
    def travels_as(self) -> str:
        """What a worker must know to run it: "fetch_index", "ensure@cargo+nuget" for other protocols than
        `UNTOLD`."""
        told = sorted(set(self.spoken) - UNTOLD)
        return f"{self.name()}@{'+'.join(told)}" if told else self.name()

    @property
    def spoken(self) -> tuple[str, ...]:
        """The protocols that its worker has to speak."""
        return (self.protocol,)  # type: ignore[attr-defined]  # of all kinds but one

    @property
    def id(self) -> str:
        """Unique per thing to do; equal ids coalesce."""
        raise NotImplementedError

    @property
    def runs_in(self) -> str:
        """The queue that this one belongs in."""
        return self.queue

    @property
    def is_whole(self) -> bool:
        """Its payload replaces that of a job of the same id which asks for less."""
        return False

    @property
    def again(self) -> bool:
        """It is about what has changed: a run that began before may not know of that; another follows it."""
        return False

    def asks_more_than(self, other: Job) -> bool:
        """Whether enqueueing this changes what a job of the same id does, or how soon: it moves to a more
        urgent queue."""
        lanes = (self.queue, *self.lower)
        return lanes.index(self.runs_in) < lanes.index(other.runs_in)


class FetchIndex(Job, frozen=True, tag="fetch_index"):
    """Ask the upstream for an index document, store it, render what is asked for and what is in use."""

    queue: ClassVar[str] = INDEX
    lower: ClassVar[tuple[str, ...]] = (REFRESH, AHEAD)
    protocol: str
    identity: str
    background: bool = False  # True: runs in `refresh`; same id, so it coalesces with a miss
    base_url: str = ""  # finish the bodies of this address too, where bodies hold absolute URLs
    request_id: str = ""
    via: str = ""  # installations that the request came through (shared/http/via.py)
    variant: str = ""  # waited for: "json.gzip"; or `IN_USE`; "": all that services one version back know
    asker: Asker | None = None  # None: nothing is read ahead of it
    guessed: bool = False  # nobody asked for it yet: runs in `ahead`

    @property
    def id(self) -> str:
        return f"index:{self.protocol}:{self.identity}"

    @property
    def runs_in(self) -> str:
        return AHEAD if self.guessed else REFRESH if self.background else INDEX


class RenderIndex(Job, frozen=True, tag="render_index"):
    """Render bodies again from the last good document, without asking upstream.

    Shares the id of `FetchIndex`'s key space with another prefix; both write under one
    generation fence, so the newer wins.
    """

    queue: ClassVar[str] = INDEX
    protocol: str
    identity: str
    base_url: str = ""  # for protocols whose bodies hold absolute URLs
    request_id: str = ""
    variant: str = ""  # as in `FetchIndex`

    @property
    def id(self) -> str:
        variant = f":{self.variant}" if self.variant else ""
        return f"render:{self.protocol}:{self.identity}:{self.base_url}{variant}"

    @property
    def again(self) -> bool:
        return self.variant == IN_USE


class RenderView(Job, frozen=True, tag="render_view"):
    """Render a page as a view shows it (docs/decisions/0050), from its last good document."""

    queue: ClassVar[str] = INDEX
    protocol: str
    identity: str
    view: str
    variant: str  # as in `FetchIndex`
    base_url: str = ""  # for protocols whose bodies hold absolute URLs
    request_id: str = ""

    @property
    def id(self) -> str:
        return f"view:{self.protocol}:{self.view}:{self.identity}:{self.base_url}:{self.variant}"


class FileJob(Job, frozen=True):
    """A job about one file."""

    protocol: str
    project: str
    file_id: str
    filename: str

    @classmethod
    def of(cls, file: FileName, **more: Any) -> Self:
        """One about this file; `more`: its other fields."""
        return cls(*msgspec.structs.astuple(file), **more)

    @property
    def file(self) -> FileName:
        return FileName(self.protocol, self.project, self.file_id, self.filename)


class FetchArtifact(FileJob, frozen=True, tag="fetch_artifact"):
    """Download one file, verify, store, write its row; its bytes are relayed meanwhile."""

    queue: ClassVar[str] = ARTIFACT
    lower: ClassVar[tuple[str, ...]] = (AHEAD,)
    relayed: ClassVar[bool] = True
    request_id: str = ""
    via: str = ""  # installations that the request came through (shared/http/via.py)
    abandonable: bool = False  # only clients who read the bytes meanwhile want it: pointless without them
    unstored: bool = False  # whoever asked has just seen that there is no row of it
    asker: Asker | None = None  # None: nothing is read ahead of it
    guessed: bool = False  # nobody asked for it yet: runs in `ahead`
    part: bool = False  # abandonable, and a small part is all that is wanted so far

    @property
    def id(self) -> str:
        return f"artifact:{self.protocol}:{self.file.identity}"

    @property
    def runs_in(self) -> str:
        return AHEAD if self.guessed else ARTIFACT

    @property
    def is_whole(self) -> bool:
        """A waiter needs the whole file: the download must not be abandoned."""
        return not self.abandonable and not self.guessed

    def asks_more_than(self, other: Job) -> bool:
        more = isinstance(other, FetchArtifact) and other.abandonable and self.is_whole
        return more or super().asks_more_than(other)


class HeadersJob(FileJob, frozen=True):
    """A job that asks for the headers of a file, and not for its bytes."""

    queue: ClassVar[str] = INDEX
    request_id: str = ""
    via: str = ""  # installations that the request came through (shared/http/via.py)
    unstored: bool = False  # as in `FetchArtifact`


class DescribeArtifact(HeadersJob, frozen=True, tag="describe_artifact"):
    """Find the size of a file that is not stored yet (a cold HEAD), without downloading it."""

    @property
    def id(self) -> str:
        return f"describe:{self.protocol}:{self.file.identity}"


class DateArtifact(HeadersJob, frozen=True, tag="date_artifact"):
    """Find when a file was published; of one that is stored, note it (docs/decisions/0050)."""

    alone: bool = False  # of a stored one, by what is stored: no source is asked

    @property
    def id(self) -> str:
        return f"date{'-alone' if self.alone else ''}:{self.protocol}:{self.file.identity}"


class ExtractDependencies(FileJob, frozen=True, tag="extract_dependencies"):
    """Read metadata and dependencies out of a stored artifact; back-fill its core metadata."""

    queue: ClassVar[str] = EXTRACT
    sha256: str
    request_id: str = ""

    @property
    def id(self) -> str:
        return f"extract:{self.protocol}:{self.sha256}"


class Resolve(Job, frozen=True, tag="resolve"):
    """Compute the dependency graph of an artifact or of a list of requirements, and store it."""

    queue: ClassVar[str] = RESOLVE
    protocol: str
    key: str  # of the request below (shared/protocols/resolution.py): what the result is kept under
    artifact: str = ""  # SHA256 of the root file, or
    requirements: tuple[str, ...] = ()  # the roots, as the protocol spells them
    max_depth: int = 0
    include_optional: bool = False
    environment: str = ""
    as_of: str = ""
    refresh: bool = False  # compute again and replace what is kept
    request_id: str = ""
    project: str = ""  # what it says beside its requirements

    @property
    def spoken(self) -> tuple[str, ...]:
        return (self.protocol, *abilities_for(self.project))

    @property
    def id(self) -> str:
        return f"resolve:{self.protocol}:{self.key}"


class Ensure(Job, frozen=True, tag="ensure"):
    """Resolve an ensure file, have every chosen file fetched, and store the lock."""

    queue: ClassVar[str] = RESOLVE
    key: str  # of the canonical ensure file: what the lock is kept under
    document: str  # the canonical ensure file, as JSON (shared/resolving/ensure_file.py)
    refresh: bool = False  # resolve again and replace what is kept
    request_id: str = ""
    protocols: tuple[str, ...] = ()  # of its tables, and `abilities_for` their projects

    @property
    def spoken(self) -> tuple[str, ...]:
        return self.protocols

    @property
    def id(self) -> str:
        return f"ensure:{self.key}"


class StoredJob(Job, frozen=True):
    """Of what is stored alone: any worker of its queue can do it."""

    @property
    def spoken(self) -> tuple[str, ...]:
        return ()


class SealBuild(StoredJob, frozen=True, tag="seal_build"):
    """Make the list of a closed session, and pin what it names (docs/decisions/0050)."""

    queue: ClassVar[str] = EXTRACT
    build: str  # its id
    request_id: str = ""

    @property
    def id(self) -> str:
        return f"seal:{self.build}"


class SealLock(StoredJob, frozen=True, tag="seal_lock"):
    """Make what the view of a kept lock knows, of what is stored (docs/decisions/0049)."""

    queue: ClassVar[str] = INDEX
    key: str  # the lock's
    base_url: str  # that absolute links are made for
    request_id: str = ""

    @property
    def id(self) -> str:
        return f"seal-lock:{self.key}"


class MakeBundle(StoredJob, frozen=True, tag="make_bundle"):
    """Make and sign what stands at the head of a bundle; the event tells its object (docs/decisions/0049)."""

    queue: ClassVar[str] = EXTRACT
    build: str  # its id
    since: int = 0  # entries of the log that who wants it has seen; 0: none
    request_id: str = ""

    @property
    def id(self) -> str:
        return f"bundle:{self.build}:{self.since}"


AnyJob = (
    FetchIndex
    | RenderIndex
    | RenderView
    | FetchArtifact
    | DescribeArtifact
    | DateArtifact
    | ExtractDependencies
    | Resolve
    | Ensure
    | SealBuild
    | SealLock
    | MakeBundle
)
