"""`Provenances`: has the attestations of a list's newest files fetched and verified, where a rule asks.

It is asked while a page is made or a file is fetched, never for a hit. What it found is a row; what could not
be had now is tried again later, and is unknown until then.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urljoin

import msgspec

from services.fetcher.http.manager import HttpClientManager
from services.fetcher.http.response import decode_body
from services.fetcher.provenance.items import Item
from services.fetcher.provenance.verify import Order
from services.fetcher.sources.watcher import SourceWatcher
from shared.errors import OrchardError, TooLarge
from shared.models import UpstreamSource
from shared.policy.age import Dated, Seen
from shared.policy.evidence import Evidence
from shared.policy.trust import RECHECK_SECONDS
from shared.process.bounded import Bounded
from shared.process.child import answer_of
from shared.protocols.base import PackageProxyBase
from shared.redis import clock
from shared.stores import Stores
from shared.telemetry.logs import get_logger

log = get_logger()

MOST_AT_ONCE = 32  # files whose attestations one page or file waits for; the newest first
LARGEST_BYTES = 1024 * 1024  # of one file's attestations; those of registries have some 20 KB
CONNECTIONS = 8
CHILDREN = 2
FETCH_SECONDS = 8.0  # for all of them
VERIFY_SECONDS = 25.0  # by the clock: a busy machine takes long for what costs little
FAILED_AGAIN_SECONDS = 3600.0  # what is false stays so, but for an upstream that answered with something else
REMEMBERED = 65_536

_CHILD = "services.fetcher.provenance.verify"
_decode = msgspec.msgpack.Decoder(list[Evidence]).decode


class Provenances:
    """Of one fetcher."""

    def __init__(self, http: HttpClientManager, sources: SourceWatcher, stores: Stores) -> None:
        settings = stores.settings
        self._http = http
        self._sources = sources
        self._artifacts = stores.artifacts
        self._threads = stores.threads
        self._trust_root = str(Path(settings.trust_root).resolve()) if settings.trust_root else ""
        self._children = asyncio.Semaphore(CHILDREN)
        self._keys = tuple(str(Path(each).resolve()) for each in settings.registry_keys)
        # By protocol, project, digest and root: until when, in monotonic seconds.
        self._tried = Bounded[tuple[str, str, str, str], float](REMEMBERED)

    async def known(
        self,
        protocol: PackageProxyBase,
        project: str,
        document: object,
        seen: Seen,
        source_id: int | None,
        wanted: str = "",
    ) -> Seen:
        """`seen` with what is known of the list `document` now. `source_id`: of that list's row, None: it has
        none yet; `wanted`: the entry that is asked for. What fails leaves things unknown. Raises
        `DatabaseUnavailable`."""
        identity = protocol.grammar.index_identity(project)
        source = self._source(protocol.name, seen.source, source_id)
        if source is None:
            return seen
        root = await self._threads.run(_root_of, self._trust_root, self._keys)
        listed = await self._threads.run(_claims, protocol, identity, document, bool(self._keys))
        due = self._due(protocol.name, project, listed, seen, root, wanted)
        if not due:
            return seen
        found, away = await self._check(protocol, project, source, due)
        kept = {digest: msgspec.structs.replace(each, root=root) for digest, each in found.items()}
        now = time.monotonic()
        for each in due:
            is_answered = each.digest in kept and each.digest not in away
            pause = FAILED_AGAIN_SECONDS if is_answered else RECHECK_SECONDS / 2
            self._tried.put((protocol.name, project, each.digest, root), now + pause)
        if kept:
            await self._artifacts.note_seen(protocol.name, project, lambda noted: noted or seen)
            kept = await self._artifacts.store_evidence(protocol.name, project, kept)
        return msgspec.structs.replace(seen, evidence={**seen.evidence, **kept})

    def _source(self, protocol: str, name: str, source_id: int | None) -> UpstreamSource | None:
        current = self._sources.current(protocol)
        sources = () if current is None else current.sources
        found = next((each for each in sources if each.name == name), None)
        return found or next((each for each in sources if each.id == source_id), None)

    def _due(
        self, protocol: str, project: str, listed: Sequence[Dated], seen: Seen, root: str, wanted: str
    ) -> list[Dated]:
        now, moment = time.monotonic(), clock.now()
        due = []
        for each in listed:
            known = seen.evidence.get(each.digest)
            if known is not None and known.root == root and _is_settled(each, known):
                continue
            if now >= (self._tried.get((protocol, project, each.digest, root)) or 0.0):
                due.append(each)
        due.sort(key=lambda each: (each.name == wanted, seen.date_of(each, moment)), reverse=True)
        return due[:MOST_AT_ONCE]

    async def _check(
        self, protocol: PackageProxyBase, project: str, source: UpstreamSource, due: Sequence[Dated]
    ) -> tuple[dict[str, Evidence], set[str]]:
        """By digests, of those of which anything was found; and those whose provenance could not be had."""
        false: dict[str, Evidence] = {}
        items: dict[str, Item] = {}
        away = {each.digest for each in due if each.provenance}
        room = asyncio.Semaphore(CONNECTIONS)

        async def fetch(each: Dated) -> None:
            attested = protocol.documents.attested(project, each)
            if attested is None:
                return
            item = Item(
                protocol.name,
                attested,
                each.digest,
                signatures=each.signatures,
                signed=protocol.documents.signed_text(project, each),
                published=each.published,
            )
            if each.signatures and self._keys:  # whatever becomes of its provenance
                items[each.digest] = item
            if not each.provenance:
                return
            try:
                async with room:
                    answer = await self._http.fetch(
                        source,
                        urljoin(source.url, each.provenance),
                        headers={"accept": attested.accept},
                        max_bytes=LARGEST_BYTES,
                        deadline_seconds=FETCH_SECONDS,
                    )
                if answer.status != 200:
                    return
                coding = answer.content_encoding
                document = decode_body(answer.take_body(), coding, max_bytes=LARGEST_BYTES)
            except TooLarge:
                false[each.digest] = Evidence("failed", why=f"it has more than {LARGEST_BYTES} bytes")
                away.discard(each.digest)
            except OrchardError as error:
                log.info("provenance_not_fetched", project=project, file=each.name, reason=error.message)
            else:
                items[each.digest] = msgspec.structs.replace(item, document=document)
                away.discard(each.digest)

        tasks = [asyncio.create_task(fetch(each)) for each in due]
        _, late = await asyncio.wait(tasks, timeout=FETCH_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        found = await self._verified(items) if items else {}
        for digest, each in false.items():
            signature = found[digest].signature if digest in found else ""
            found[digest] = msgspec.structs.replace(each, signature=signature)
        return found, away

    async def _verified(self, items: Mapping[str, Item]) -> dict[str, Evidence]:
        """Together; where their process dies of one, each alone."""
        answers = await self._answers(items.values())
        if answers is not None:
            if not answers:
                log.warning("provenance_not_verified", reason="no time, or no trust root or keys to read")
            return dict(zip(items, answers, strict=False))
        found: dict[str, Evidence] = {}
        for digest, item in items.items():
            alone = await self._answers([item])
            if alone is not None:
                found |= dict(zip((digest,), alone, strict=False))
            else:
                found[digest] = Evidence("failed", why="to verify it takes too much memory or time")
        return found

    async def _answers(self, items: Iterable[Item]) -> list[Evidence] | None:
        async with self._children:
            return await _answers(Order(self._trust_root, tuple(items), self._keys))


def _claims(protocol: PackageProxyBase, identity: str, document: object, has_keys: bool) -> list[Dated]:
    """The entries that say where their attestations are, or have signatures that can be verified."""
    listed = protocol.documents.dated(identity, document, marks=True)
    return [each for each in listed if each.digest and (each.provenance or (has_keys and each.signatures))]


def _is_settled(each: Dated, known: Evidence) -> bool:
    """Whether all that there is was verified."""
    is_proven = known.status == "verified" or not each.provenance
    return is_proven and known.signature != "failed"


def _root_of(path: str, keys: Iterable[str]) -> str:
    """What tells a trust root and keys from others."""
    library = "" if path else importlib.metadata.version("sigstore")
    found = hashlib.sha256(library.encode())
    for each in (path, *keys) if path else keys:
        try:
            found.update(hashlib.sha256(Path(each).read_bytes()).digest())
        except OSError:
            found.update(b"none")
    return found.hexdigest()[:16]


async def _answers(order: Order) -> list[Evidence] | None:
    """What the child says: nothing, where it takes longer than `VERIFY_SECONDS` or cannot read what it
    verifies against; None, where it dies."""
    try:
        output = await answer_of(
            "services.fetcher.provenance.verify", msgspec.msgpack.encode(order), VERIFY_SECONDS
        )
    except TimeoutError:
        return []
    try:
        return _decode(output)
    except msgspec.MsgspecError:
        return None
