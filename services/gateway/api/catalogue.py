"""The read API: stored artifacts and packages, in pages."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import get
from litestar.params import Parameter

from services.gateway.api.catalogue_rows import Catalogue
from services.gateway.api.parameters import (
    DEFAULT_LIMIT,
    Cursor,
    Limit,
    check_limit,
    check_sha256,
    package_name,
    page_of,
    read_cursor,
)
from services.gateway.api.types import Artifact, DependencyItem, Dependent, Package, PackageFile, Page
from shared.cache.keys import Category
from shared.cache.service import CacheService
from shared.errors import ArtifactNotFound, PackageNotFound
from shared.errors.passing import CacheUnavailable
from shared.telemetry.logs import get_logger

log = get_logger()

_decode = msgspec.msgpack.Decoder(Page[PackageFile]).decode
_encode = msgspec.msgpack.Encoder().encode


@get("/api/v1/artifacts/{sha256:str}", summary="An artifact by its SHA256", tags=["artifacts"])
async def artifact(catalogue: Catalogue, sha256: str) -> Artifact:
    """Facts, names, sources, first-seen time and extraction state of a stored file."""
    digest = check_sha256(sha256)
    found = await catalogue.artifact(digest)
    if found is None:
        raise ArtifactNotFound(f"no artifact with the SHA256 {digest} is stored here")
    return found


@get(
    "/api/v1/artifacts/{sha256:str}/dependencies",
    summary="What an artifact declares to depend on",
    tags=["artifacts"],
)
async def dependencies(
    catalogue: Catalogue, sha256: str, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = ""
) -> Page[DependencyItem]:
    """As declared, in order; nothing is resolved here. An artifact that is not `extracted` has none."""
    digest, after = check_sha256(sha256), read_cursor(cursor, int)
    rows = await catalogue.dependencies(digest, after, check_limit(limit) + 1)
    if not rows and await catalogue.artifact(digest) is None:
        raise ArtifactNotFound(f"no artifact with the SHA256 {digest} is stored here")
    return page_of(rows, limit)


@get(
    "/api/v1/artifacts/{sha256:str}/dependents",
    summary="Stored files that depend on an artifact's package",
    tags=["artifacts"],
)
async def artifact_dependents(
    catalogue: Catalogue, sha256: str, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = ""
) -> Page[Dependent]:
    """By the package's name, whatever version they ask for: compare `requirement`."""
    digest, after = check_sha256(sha256), read_cursor(cursor, str, int)
    check_limit(limit)
    found = await catalogue.artifact(digest)
    if found is None:
        raise ArtifactNotFound(f"no artifact with the SHA256 {digest} is stored here")
    first = found.names[0]
    after = _with_digest(after)
    rows, looked_after = await catalogue.dependents(first.protocol, first.project, after, limit + 1)
    return page_of(rows, limit, looked_after)


@get(
    "/api/v1/dependents/{protocol:str}/{name:path}",
    summary="Stored files that depend on a package",
    tags=["packages"],
)
async def dependents(
    catalogue: Catalogue,
    protocol: str,
    name: str,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = "",
) -> Page[Dependent]:
    """The package itself need not have been served."""
    project, after = package_name(protocol, name)[1], read_cursor(cursor, str, int)
    after = _with_digest(after)
    rows, looked_after = await catalogue.dependents(protocol, project, after, check_limit(limit) + 1)
    return page_of(rows, limit, looked_after)


@get("/api/v1/packages/{protocol:str}", summary="Packages known here", tags=["packages"])
async def packages(
    catalogue: Catalogue,
    protocol: str,
    prefix: Annotated[str, Parameter(description="Only names that start so")] = "",
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = "",
) -> Page[Package]:
    """In byte order of their canonical names."""
    start = package_name(protocol, prefix)[1] if prefix else ""
    if not prefix:
        package_name(protocol, "any")
    after = read_cursor(cursor, str)
    return page_of(await catalogue.packages(protocol, start, after, check_limit(limit) + 1), limit)


@get(
    "/api/v1/packages/{protocol:str}/{name:path}",
    summary="Versions and files of a package known here",
    tags=["packages"],
)
async def package_files(
    catalogue: Catalogue,
    cache: CacheService,
    protocol: str,
    name: str,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = "",
) -> Page[PackageFile]:
    """What was served and is stored; the protocol's own pages list all that the upstream has."""
    project, after = package_name(protocol, name)[1], read_cursor(cursor, str, str)
    if after is None and limit == DEFAULT_LIMIT:
        page = await _first_page(cache, catalogue, protocol, project)
    else:
        rows = await catalogue.files(protocol, project, after, check_limit(limit) + 1)
        page = page_of(rows, limit)
    if not page.items and after is None:
        raise PackageNotFound(f"{protocol}: nothing of {project} is stored here")
    return page


async def _first_page(
    cache: CacheService, catalogue: Catalogue, protocol: str, project: str
) -> Page[PackageFile]:
    """The first page, which builds ask for again and again: cached for `ORCHARD_CACHE_TTL_VERSIONS` unless a
    file was stored or extracted since. Empty pages are not cached."""
    try:
        kept = await cache.get(Category.PACKAGE_VERSIONS, protocol, project)
        if kept is not None:
            return _decode(kept)
    except CacheUnavailable:
        log.debug("versions_not_read", protocol=protocol)
    except msgspec.MsgspecError:
        log.debug("versions_of_another_version", protocol=protocol)
    page = page_of(await catalogue.files(protocol, project, None, DEFAULT_LIMIT + 1), DEFAULT_LIMIT)
    if page.items:
        try:
            await cache.set(Category.PACKAGE_VERSIONS, protocol, project, _encode(page))
        except CacheUnavailable as error:
            log.debug("versions_not_cached", code=error.code)
    return page


def _with_digest(after: list[Any] | None) -> list[Any] | None:
    if after is not None:
        check_sha256(after[0])
    return after


HANDLERS = [artifact, dependencies, artifact_dependents, dependents, packages, package_files]
