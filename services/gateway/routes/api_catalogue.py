"""The read API: what is known of artifacts and packages, in pages."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

from litestar import Request, get
from litestar.params import Parameter

from services.gateway.cursors import DEFAULT_LIMIT, check_limit, page_of, read_cursor
from services.gateway.version_lists import first_page
from shared.api_types import Artifact, DependencyItem, Dependent, Package, PackageFile, Page
from shared.catalogue import Catalogue
from shared.errors import ArtifactNotFound, InvalidParameter, PackageNotFound, ShuttingDown
from shared.protocols import PROTOCOLS

if TYPE_CHECKING:
    from services.gateway.composition import Gateway

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_NAME = 512

Limit = Annotated[int, Parameter(description="Items on a page, 1 to 500")]
Cursor = Annotated[str, Parameter(description="`next` of the page before")]


def client_of(request: Request[Any, Any, Any]) -> str:
    """The client's address, as trusted proxies tell it; "" where none is known."""
    return request.client.host if request.client else ""


def gateway_of(request: Request[Any, Any, Any]) -> Gateway:
    """The open gateway. Raises `ShuttingDown`."""
    gateway: Gateway | None = request.app.state.application.gateway
    if gateway is None:
        raise ShuttingDown("this gateway is not open")
    return gateway


def check_sha256(text: str) -> str:
    """The digest in lower case. Raises `InvalidParameter`."""
    if not _SHA256.fullmatch(text.lower()):
        raise InvalidParameter("sha256: expected 64 hex digits")
    return text.lower()


def _catalogue(request: Request[Any, Any, Any]) -> Catalogue:
    return Catalogue(gateway_of(request).database)


def _name(protocol: str, text: str) -> str:
    """A package's canonical name out of a path."""
    known = next((each for each in PROTOCOLS if each.name == protocol), None)
    if known is None:
        raise InvalidParameter(f"protocol: expected one of {', '.join(each.name for each in PROTOCOLS)}")
    name = text.strip("/")
    if not name or len(name) > _MAX_NAME or not name.isprintable():
        raise InvalidParameter("name: expected a package's name")
    return known.canonical_name(name)


@get("/api/v1/artifacts/{sha256:str}", summary="An artifact by its SHA256", tags=["artifacts"])
async def artifact(request: Request[Any, Any, Any], sha256: str) -> Artifact:
    """Facts, names, sources, when it was first seen, and what extraction came to."""
    digest = check_sha256(sha256)
    found = await _catalogue(request).artifact(digest)
    if found is None:
        raise ArtifactNotFound(f"no artifact with the SHA256 {digest} is stored here")
    return found


@get(
    "/api/v1/artifacts/{sha256:str}/dependencies",
    summary="What an artifact declares to depend on",
    tags=["artifacts"],
)
async def dependencies(
    request: Request[Any, Any, Any], sha256: str, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = ""
) -> Page[DependencyItem]:
    """As declared, in order; nothing is resolved here. An artifact that is not `extracted` has none."""
    digest, after = check_sha256(sha256), read_cursor(cursor, int)
    rows = await _catalogue(request).dependencies(digest, after, check_limit(limit) + 1)
    if not rows and await _catalogue(request).artifact(digest) is None:
        raise ArtifactNotFound(f"no artifact with the SHA256 {digest} is stored here")
    return page_of(rows, limit)


@get(
    "/api/v1/artifacts/{sha256:str}/dependents",
    summary="Stored files that depend on an artifact's package",
    tags=["artifacts"],
)
async def artifact_dependents(
    request: Request[Any, Any, Any], sha256: str, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = ""
) -> Page[Dependent]:
    """By the package's name, whatever version they ask for: compare `requirement`."""
    digest, after = check_sha256(sha256), read_cursor(cursor, str, int)
    check_limit(limit)
    found = await _catalogue(request).artifact(digest)
    if found is None:
        raise ArtifactNotFound(f"no artifact with the SHA256 {digest} is stored here")
    first = found.names[0]
    rows = await _catalogue(request).dependents(first.protocol, first.project, _with_digest(after), limit + 1)
    return page_of(rows, limit)


@get(
    "/api/v1/dependents/{protocol:str}/{name:path}",
    summary="Stored files that depend on a package",
    tags=["packages"],
)
async def dependents(
    request: Request[Any, Any, Any],
    protocol: str,
    name: str,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = "",
) -> Page[Dependent]:
    """The package itself need not have been served."""
    project, after = _name(protocol, name), read_cursor(cursor, str, int)
    rows = await _catalogue(request).dependents(
        protocol, project, _with_digest(after), check_limit(limit) + 1
    )
    return page_of(rows, limit)


@get("/api/v1/packages/{protocol:str}", summary="Packages known here", tags=["packages"])
async def packages(
    request: Request[Any, Any, Any],
    protocol: str,
    prefix: Annotated[str, Parameter(description="Only names that start so")] = "",
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = "",
) -> Page[Package]:
    """In byte order of their canonical names."""
    start = _name(protocol, prefix) if prefix else ""
    if not prefix:
        _name(protocol, "any")
    after = read_cursor(cursor, str)
    return page_of(await _catalogue(request).packages(protocol, start, after, check_limit(limit) + 1), limit)


@get(
    "/api/v1/packages/{protocol:str}/{name:path}",
    summary="Versions and files of a package known here",
    tags=["packages"],
)
async def package_files(
    request: Request[Any, Any, Any],
    protocol: str,
    name: str,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = "",
) -> Page[PackageFile]:
    """What was served and is stored; the protocol's own pages list all that the upstream has."""
    project, after = _name(protocol, name), read_cursor(cursor, str, str)
    if after is None and limit == DEFAULT_LIMIT:
        page = await first_page(gateway_of(request).cache, _catalogue(request), protocol, project)
    else:
        rows = await _catalogue(request).files(protocol, project, after, check_limit(limit) + 1)
        page = page_of(rows, limit)
    if not page.items and after is None:
        raise PackageNotFound(f"{protocol}: nothing of {project} is stored here")
    return page


def _with_digest(after: list[Any] | None) -> list[Any] | None:
    if after is not None:
        check_sha256(after[0])
    return after


HANDLERS = [artifact, dependencies, artifact_dependents, dependents, packages, package_files]
