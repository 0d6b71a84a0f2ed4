"""The first page of a package's stored files, kept in the cache: what builds ask for again and again."""

from __future__ import annotations

import msgspec

from services.gateway.cursors import DEFAULT_LIMIT, page_of
from shared.api_types import PackageFile, Page
from shared.cache import CacheService, Category
from shared.catalogue import Catalogue
from shared.errors import CacheUnavailable
from shared.logs import get_logger

log = get_logger()

_decode = msgspec.msgpack.Decoder(Page[PackageFile]).decode
_encode = msgspec.msgpack.Encoder().encode


async def first_page(
    cache: CacheService, catalogue: Catalogue, protocol: str, project: str
) -> Page[PackageFile]:
    """For `ORCHARD_CACHE_TTL_VERSIONS` the kept one, unless a file was stored or read since; else out of
    the database. Empty pages are not kept. Raises `DatabaseUnavailable`."""
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
