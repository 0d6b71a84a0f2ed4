"""A kept address is doubted before it is believed to be dead.

What a page said of where a file lies may have passed: a signature or a token in it has run out, the file was
moved or made anew. So whatever lasting failure a file's kept address gives (401, 403, 404, 410, 400 of a
signature, another digest, a login page), its page is fetched anew, and if that names another address, or
other bytes, the file is asked for once more. Otherwise the first answer stands. A page that came within the
last seconds is not fetched again (`Entries.find_anew`), and those who want it at once share one fetch.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.fetcher.download import GoneUpstream
from services.fetcher.entries import Entries, Found, Refresh
from shared.errors import FileNotFound, LastingError, Offline, OrchardError, UpstreamUnavailable
from shared.logs import get_logger
from shared.protocols.base import PackageProxyBase, Resource

log = get_logger()

T = TypeVar("T")


async def at_kept_address(
    entries: Entries,
    refresh: Refresh,
    protocol: PackageProxyBase,
    resource: Resource,
    found: Found,
    attempt: Callable[[Found], Awaitable[T]],
) -> T:
    """What `attempt` makes of the file at its kept address, or at the one that its page tells now.

    Raises `FileNotFound` when the page came and the file is not where it says, or not on it any more; what
    `attempt` raises; and why the page cannot be had, if only by now.
    """
    try:
        return await attempt(found)
    except GoneUpstream:
        first: OrchardError | None = None
    except Offline:
        raise
    except LastingError as error:
        first = error
    newer = await entries.find_anew(protocol, resource.project, resource.file_id, resource.filename, refresh)
    if newer != found:
        log.info("address_renewed", protocol=protocol.name, filename=resource.filename)
        try:
            return await attempt(newer)
        except GoneUpstream:
            first = None
    if first is not None:
        raise first
    if await entries.is_failing(protocol, resource.project, resource.filename):
        raise UpstreamUnavailable(
            f"upstream {newer.source.name} lacks {resource.filename}, and its page cannot be asked for now"
        )
    raise FileNotFound(f"upstream {newer.source.name} lists {resource.filename} but does not have it")
