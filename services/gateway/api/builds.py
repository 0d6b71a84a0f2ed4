"""Builds: started, looked at, sealed (docs/builds.md)."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import msgspec
from litestar import Request, Response, delete, get, post

from services.gateway.api.admin.policy_reading import read, source_names
from services.gateway.api.admin.popular import Popular
from services.gateway.api.statements import FRESH, LATER, read_envelope
from services.gateway.api.types import Input
from services.gateway.builds.allowed import why_refused
from services.gateway.builds.builds import Builds
from services.gateway.builds.judged import with_facts_of_now
from services.gateway.http.base_urls import BaseUrls
from shared.access.watcher import AccessWatcher
from shared.builds.entries import Absent, Entry, Page, Session
from shared.errors import BuildNotFound, EntryNotFound, InvalidParameter
from shared.policy.named import NamedRule
from shared.protocols.reading.views import BUILD, LOCK, is_build_id, is_lock_key, view_named
from shared.redis import clock
from shared.statements.provenance import KINDS
from shared.stores import Stores
from shared.transparency.statements import StatementRows

LONGEST_NAME = 128
ENVELOPE = "application/vnd.dsse.envelope.v1+json"
BILLS = {"cyclonedx": "application/vnd.cyclonedx+json; version=1.6", "spdx": "application/spdx+json"}
_KINDS = "Statements: provenance, cyclonedx, spdx. Bills: cyclonedx, spdx."


class NewBuild(Input, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/builds`."""

    name: str = ""  # for people
    at: str = ""  # a date or time: what the build sees; "": everything as it is
    policy: str = ""  # a policy file: rules that it is held to beside the server's


class Build(msgspec.Struct, frozen=True):
    """A build. `base`: the address to put before a protocol's ("/pypi/simple/")."""

    id: str
    base: str
    name: str
    at: str  # as a view: "at-1767225600"; ""
    state: str  # "open", "closed" while its list is made, "sealed"
    created_at: float
    created_by: str
    sealed_at: float  # 0: not yet
    pages: int
    files: int
    absent: int
    missing: list[str]  # addresses that were asked for and whose bytes were never stored
    rules: list[NamedRule]  # its own policy


class Dropped(msgspec.Struct, frozen=True):
    """What is gone."""

    dropped: str


class BuildItem(msgspec.Struct, frozen=True):
    """One answer that a build got."""

    kind: str  # "page", "file", "absent"
    protocol: str
    name: str  # of the page, file or absence; a checksum alone ends with "#" and its algorithm
    variant: str  # of a page: its representation and content-coding
    sha256: str
    """Of the bytes; of a page that holds addresses, with `http://orchard.invalid` for this one. "" while a
    file is on its way."""
    size_bytes: int
    at: float
    who: str  # name of the token
    refused: str  # why it is not served now, though it is in the list; ""


class BuildDetail(Build, frozen=True):
    """A build with what it holds."""

    items: list[BuildItem]


@post("/api/v1/builds", summary="Start recording a build", tags=["builds"])
async def start(
    request: Request[Any, Any, Any],
    data: NewBuild,
    builds: Builds,
    base_urls: BaseUrls,
    popular: Popular,
    stores: Stores,
    who: str,
    asker: str,
) -> Build:
    """All that is asked below `base` from now on is in its list. 409 at its seal where it got what its own
    policy is against."""
    if len(data.name) > LONGEST_NAME or not (data.name.isprintable() or not data.name):
        raise InvalidParameter(f"name: expected up to {LONGEST_NAME} printable characters")
    view = view_named(f"at-{data.at.removeprefix('at-')}") if data.at else None
    rules = read(data.policy, popular, await source_names(stores.database)) if data.policy else []
    return shown(await builds.start(data.name, view, who, asker, rules), request, base_urls)


@post("/api/v1/builds/{id:str}/seal", summary="Freeze a build's list", tags=["builds"], status_code=200)
async def seal(
    request: Request[Any, Any, Any], id: str, builds: Builds, base_urls: BaseUrls, request_id: str
) -> Build:
    """From now on it answers exactly what it answered; the same answer for every repetition."""
    return shown(await builds.seal(checked(id), request_id), request, base_urls)


@delete("/api/v1/builds/{id:str}", summary="Let go of a build", tags=["builds"], status_code=200)
async def drop(id: str, builds: Builds) -> Dropped:
    """One that is not sealed, by whoever knows its id: it records no more, and nothing is left of it. 409 for
    one that is sealed."""
    await builds.drop(checked(id))
    return Dropped(id)


@get("/api/v1/builds/{id:str}", summary="A build and all that it got", tags=["builds"])
async def show(
    request: Request[Any, Any, Any],
    id: str,
    builds: Builds,
    base_urls: BaseUrls,
    access_watcher: AccessWatcher,
    stores: Stores,
) -> BuildDetail:
    """`refused` names what the rules of now keep back of it."""
    session = await builds.read(checked(id))
    entries = await with_facts_of_now(await builds.entries(session), stores.artifacts)
    policy, now = access_watcher.policy, clock.now()
    items = [_item(each, why_refused(each, policy, now)) for each in entries]
    detail = msgspec.structs.asdict(shown(session, request, base_urls))
    counts = {kind: sum(item.kind == kind for item in items) for kind in ("page", "file", "absent")}
    detail |= {"pages": counts["page"], "files": counts["file"], "absent": counts["absent"]}
    return BuildDetail(**detail, items=items)


def checked(id: str) -> str:
    """The id, with or without `build-` before it. Raises `BuildNotFound` for what can be none."""
    id = id.removeprefix(BUILD)
    if not is_build_id(id):
        raise BuildNotFound("the id of a build has 32 characters")
    return id


def checked_or_lock(id: str) -> str:
    """The same, or the key of a lock, with or without `lock-` before it."""
    key = id.removeprefix(LOCK)
    return key if is_lock_key(key) else checked(id)


def shown(session: Session, request: Request[Any, Any, Any], base_urls: BaseUrls) -> Build:
    """As clients of the API see it."""
    host = request.headers.get("host", "").encode("latin-1", "replace")
    base = base_urls.choose(host, request.scope["scheme"])
    return Build(
        session.id,
        f"{base}/v/{BUILD}{session.id}",
        session.name,
        session.at,
        session.state,
        session.created_at,
        session.created_by,
        session.sealed_at,
        session.pages,
        session.files,
        session.absent,
        list(session.missing),
        [each.as_written() for each in session.rules],
    )


def _item(entry: Entry, refused: str) -> BuildItem:
    if isinstance(entry, Page):
        sha256 = entry.info.object_key.rpartition("/")[2] or hashlib.sha256(entry.body).hexdigest()
        return BuildItem(
            "page",
            entry.protocol,
            entry.identity,
            entry.variant,
            sha256,
            entry.info.size_bytes,
            entry.at,
            entry.who,
            refused,
        )
    if isinstance(entry, Absent):
        return BuildItem("absent", entry.protocol, entry.address, "", "", 0, entry.at, entry.who, "")
    sha256, size = (entry.stored.sha256, entry.stored.size_bytes) if entry.stored is not None else ("", 0)
    name = entry.address + (f"#{entry.sidecar}" if entry.sidecar else "")
    return BuildItem("file", entry.protocol, name, "", sha256, size, entry.at, entry.who, refused)


@get("/api/v1/builds/{id:str}/statements/{kind:str}", summary="What a build got, signed", tags=["builds"])
async def stated(id: str, kind: str, builds: Builds, stores: Stores) -> Response[bytes]:
    """A DSSE envelope of an in-toto statement: `provenance` (SLSA, what it got), `cyclonedx` or `spdx`."""
    return Response(await _envelope(id, kind, builds, stores), media_type=ENVELOPE, headers=FRESH)


@get("/api/v1/builds/{id:str}/sbom/{kind:str}", summary="A build's bill of materials", tags=["builds"])
async def bill(id: str, kind: str, builds: Builds, stores: Stores) -> Response[bytes]:
    """`cyclonedx` (1.6) or `spdx` (2.3): what its statement of that kind holds, without the signature."""
    if kind not in BILLS:
        raise EntryNotFound(f"there is no bill of materials {kind[:40]!r}", hint=_KINDS)
    outer = msgspec.json.decode(await _envelope(id, kind, builds, stores))
    whole = msgspec.json.decode(base64.b64decode(outer["payload"]))
    body = msgspec.json.format(msgspec.json.encode(whole["predicate"]), indent=2) + b"\n"
    return Response(body, media_type=BILLS[kind], headers=FRESH)


async def _envelope(id: str, kind: str, builds: Builds, stores: Stores) -> bytes:
    session = await builds.read(checked(id))
    if kind not in KINDS:
        raise EntryNotFound(f"there is no statement {kind[:40]!r}", hint=_KINDS)
    if session.state != "sealed":
        raise EntryNotFound("a build is stated once it is sealed", hint="`orchard build seal` does it.")
    found = await StatementRows(stores.database).of_build(session.id, kind)
    if not found:
        raise EntryNotFound("this build has no statement (yet)", hint=LATER)
    return await read_envelope(stores.objects, found)


HANDLERS = [start, seal, drop, show, stated, bill]
