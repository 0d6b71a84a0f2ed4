"""A sealed build: the flows over what its list knows, and nothing else (docs/decisions/0050)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import NoReturn

import msgspec

from services.gateway.builds.judged import as_judged_now
from services.gateway.serving.artifact_flow import serve_sealed
from services.gateway.serving.index_flow import serve_index
from services.gateway.serving.ports import Ports, Reply
from shared.builds.entries import Absent, BuildList, File, Page, absent_address, settled
from shared.cache.service import IndexRead
from shared.errors import FileNotFound, NotInView
from shared.errors.catalogue import CATALOGUE
from shared.errors.passing import StoreUnavailable
from shared.http.conditions import Conditions
from shared.models import FORMAT, IndexHead
from shared.protocols.reading.views import is_lock_key
from shared.protocols.resource import Resource
from shared.queue.events import Event
from shared.queue.jobs import AnyJob
from shared.redis import clock

LIFE_SECONDS = 86_400.0  # for ever, in pieces that clients take for a life


class Replay:
    """One list, looked up. Holds no bytes of pages and files."""

    def __init__(self, listed: BuildList, missing: Collection[str]) -> None:
        """`missing`: addresses that were asked for and whose bytes never came."""
        self.listed = listed
        self._missing = frozenset(missing)
        self._pages: dict[tuple[str, str], dict[str, Page]] = {}
        self._files = {(each.protocol, each.address, each.sidecar): each for each in listed.files}
        for page in listed.pages:
            self._pages.setdefault((page.protocol, page.identity), {})[page.variant] = page
        found = settled([*listed.pages, *listed.files, *listed.absent])  # an older seal has left that to us
        self._absent = {(each.protocol, each.address): each for each in found if isinstance(each, Absent)}

    async def answer(self, resource: Resource, conditions: Conditions, ports: Ports) -> Reply:
        """The recorded answer. Raises `NotInView` for what was not recorded, and `StoreUnavailable`."""
        plain = msgspec.structs.replace(resource, view="")
        address = absent_address(plain.kind, plain.identity, plain.sidecar)
        missing = self._absent.get((plain.protocol, address))
        if missing is not None:
            error = CATALOGUE.get(missing.code, FileNotFound)(missing.message)
            headers = [(b"cache-control", b"max-age=%d" % LIFE_SECONDS)]
            if plain.kind == "index":
                headers.append((b"vary", plain.vary.encode()))
            return Reply(404, "NEGATIVE", headers, error=error)
        if plain.kind == "index":
            if (plain.protocol, plain.identity) not in self._pages:
                self._refuse(plain.identity, plain.identity)
            return await serve_index(plain, conditions, self._ports(plain, ports))
        found = self.file_at(plain)
        if found is None or found.stored is None:
            self._refuse(plain.filename or plain.identity, plain.identity)
        sha256 = found.stored.sha256
        plain = msgspec.structs.replace(plain, pointer="", sha256=sha256, file_id=found.file.file_id)
        stored = await as_judged_now(found.stored, plain, ports, conditions.request_id)
        reply = await serve_sealed(plain, conditions, stored, ports.objects)
        if reply is None:
            raise StoreUnavailable(
                f"the bytes of {plain.filename} are damaged or lost; asked for outside, or by the "
                "import of the build's bundle, they come back"
            )
        return reply

    def file_at(self, resource: Resource) -> File | None:
        """The file that is asked for, or whose checksum is; None: it has none there, or a page is asked
        for."""
        if resource.kind != "artifact":
            return None
        at = resource.protocol, resource.identity
        return self._files.get((*at, resource.sidecar)) or self._files.get((*at, ""))

    def _refuse(self, what: str, identity: str) -> NoReturn:
        if is_lock_key(self.listed.id):
            raise NotInView(f"{what} is not in the lock {self.listed.id}")
        build = self.listed.name or self.listed.id
        why = "it was asked for while it was recorded, but its bytes never came (`missing` of the build)"
        if identity not in self._missing:
            why = "nobody asked for it while it was recorded"
        raise NotInView(f"{what} is not in the build {build}: {why}")

    def _ports(self, resource: Resource, ports: Ports) -> Ports:
        pages = _Pages(self._pages[resource.protocol, resource.identity])

        def refuse() -> NoReturn:
            if pages.found:
                raise StoreUnavailable(
                    f"the page {resource.identity} of this build is damaged or lost; the import of the "
                    "build's bundle brings it back"
                )
            self._refuse(f"{resource.identity} in this form", resource.identity)

        return msgspec.structs.replace(ports, index=pages, misses=_NoMisses(refuse), forward=None)


class _Pages:
    """Fulfils `IndexCache` with one page."""

    def __init__(self, variants: dict[str, Page]) -> None:
        self._variants = variants
        self.found = False  # whether one that was asked for is in the list

    async def read_index(
        self, protocol: str, identity: str, *variants: str, view: str = "", direct: bool = False
    ) -> IndexRead:
        chosen = next((name for name in variants if name in self._variants), variants[0] if variants else "")
        page = self._variants.get(chosen)
        self.found = self.found or page is not None
        now = clock.now()
        head = IndexHead(
            format=FORMAT,
            status=200,
            generation=1,
            source_revision=0,
            source_id=0,
            fetched_at=now,
            fresh_until=now + LIFE_SECONDS,
            variants={name: each.info for name, each in self._variants.items()},
            modified=page.modified if page is not None else "",
        )
        return IndexRead(head, None, 0, variant=chosen)

    async def allow_revalidation(self, protocol: str, identity: str, seconds: int) -> bool:
        return False

    async def upstream_is_down(self, protocol: str, source_id: int) -> bool:
        return True


class _NoMisses:
    """Fulfils `Misses`: nothing is ever fetched."""

    def __init__(self, refuse: Callable[[], NoReturn]) -> None:
        self._refuse = refuse

    async def wait(
        self,
        job: AnyJob,
        *,
        until: Callable[[], Awaitable[bool]],
        timeout: float,
        live: bool = False,
    ) -> Event:
        self._refuse()

    async def start(self, job: AnyJob) -> None:
        return
