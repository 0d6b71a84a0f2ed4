"""`Signatures`: has the detached signature of a file verified on its way in, where a rule tells whose it must
be (docs/decisions/0055). Never for a hit."""

from __future__ import annotations

import asyncio
import hashlib
import io
import time
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from services.fetcher.files.entries import Found
from services.fetcher.http.response import FetchedBody, decode_body
from services.fetcher.provenance.items import SignedFile
from shared.access.watcher import AccessWatcher
from shared.errors import TooLarge, TrustDowngrade
from shared.models import StoredFile, UpstreamSource
from shared.policy.age import Seen
from shared.policy.content import told
from shared.policy.evidence import Evidence, FileSignature
from shared.policy.project import ProjectVerdicts
from shared.policy.trust import mark_of, signed_before
from shared.policy.verdict import Verdict
from shared.process.bounded import Bounded
from shared.process.child import answer_of
from shared.protocols.base import PackageProxyBase
from shared.protocols.resource import Resource
from shared.redis import clock
from shared.stores import Stores
from shared.telemetry.logs import get_logger

LARGEST_BYTES = 64 * 1024  # of a file of signatures; one takes some 800
CHILDREN = 2
VERIFY_SECONDS = 25.0  # by the clock, of a small file
CPU_SECONDS = 10
HASHED_BYTES = 50_000_000  # in a second, on a slow machine: so much more time has a large file
FALSE_SECONDS = 3600.0  # so long nobody asks again for a file that was refused
REMEMBERED = 65_536
MOST_KEY_FILES = 1000

log = get_logger()

_CHILD = "services.fetcher.provenance.openpgp"
_decode = msgspec.msgpack.Decoder(Evidence).decode


class FetchesSmall(Protocol):
    """What `Upstreams` does here."""

    async def fetch_small(self, source: UpstreamSource, url: str, *, max_bytes: int) -> FetchedBody:
        """See `Upstreams.fetch_small`."""


class Signatures:
    """Of one fetcher."""

    def __init__(self, upstreams: FetchesSmall, access: AccessWatcher, stores: Stores) -> None:
        self.upstreams = upstreams
        self.access = access
        self.artifacts = stores.artifacts
        self.threads = stores.threads
        self.children = asyncio.Semaphore(CHILDREN)
        self._paths = tuple(Path(each).resolve() for each in stores.settings.signing_keys)
        # By source, address, keys and rule: until when, in monotonic seconds, and why.
        self.refused = Bounded[tuple[int, str, str], tuple[float, Verdict]](REMEMBERED)

    def of(self, protocol: PackageProxyBase, resource: Resource, found: Found) -> SignatureCheck | None:
        """None: no signature is asked of this file."""
        verdicts = self.access.policy.of(protocol.name, resource.project)
        if not (verdicts.signed_by and found.entry.signature_url):
            return None
        return SignatureCheck(self, protocol, resource, found, verdicts)

    async def is_due(self, protocol: PackageProxyBase, resource: Resource, stored: StoredFile) -> bool:
        """Whether nobody has looked at the signature of a stored file by the keys of now: a fetcher that did
        not know of the rule has stored it, or what was stored before does not stay."""
        verdicts = self.access.policy.of(protocol.name, resource.project)
        rule = verdicts.trust
        if rule is None or not rule.signed_by or not resource.direct:
            return False
        if rule.stored_stay and stored.created_at < rule.since:
            return False
        if verdicts.by_hand(protocol.grammar.version_asked(resource), stored.sha256) is not None:
            return False
        seen = await self.artifacts.first_seen(protocol.name, resource.project)
        about = protocol.documents.dated_name(b"", resource.file), resource.filename, stored.sha256
        mark = mark_of(rule.signed_by)
        return seen is None or not any(each.is_of(*about) and each.mark == mark for each in seen.signatures)

    def key_files(self) -> list[Path]:
        """Those of the settings; of a folder all that lie in it."""
        found: list[Path] = []
        for path in self._paths:
            found += sorted(each for each in path.iterdir() if each.is_file()) if path.is_dir() else [path]
        return found[:MOST_KEY_FILES]

    def mark(self, verdicts: ProjectVerdicts) -> str:
        """What tells these keys, and the rule, from others."""
        made = hashlib.sha256(verdicts.content_stamp.encode())
        for path in self.key_files():
            try:
                made.update(hashlib.sha256(path.read_bytes()).digest())
            except OSError:
                made.update(b"none")
        return made.hexdigest()[:16]


class SignatureCheck:
    """Of one download. What the source cannot answer now is an error of its own, as of its checksum files."""

    def __init__(
        self,
        owner: Signatures,
        protocol: PackageProxyBase,
        resource: Resource,
        found: Found,
        verdicts: ProjectVerdicts,
    ) -> None:
        self._owner = owner
        self._protocol = protocol
        self._resource = resource
        self._found = found
        self._verdicts = verdicts
        self._entry = protocol.documents.dated_name(b"", resource.file)
        self._mark = ""
        self.changes_pages = False  # its version is to be hidden now, or to be shown again
        self._task: asyncio.Task[bytes | Evidence | None] | None = None

    async def start(self) -> None:
        """Begin to fetch the signature. Raises `TrustDowngrade` for a file that was refused not long ago."""
        self._mark = await self._owner.threads.run(self._owner.mark, self._verdicts)
        until, verdict = self._owner.refused.get(self._key) or (0.0, None)
        if verdict is not None and time.monotonic() < until:
            self._refuse(verdict)
        self._task = asyncio.create_task(self._fetch())
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())

    @property
    def _key(self) -> tuple[int, str, str]:
        return self._found.source.id, self._found.entry.url, self._mark

    def cancel(self) -> None:
        """Stop fetching it."""
        if self._task is not None:
            self._task.cancel()

    async def verify(self, content: BinaryIO, size_bytes: int, sha256: str) -> str:
        """What is to be kept beside the file of what is against it, where it is exempt; "" of nothing. Raises
        `TrustDowngrade`, or the error of a source that did not answer."""
        assert self._task is not None
        came = await self._task
        artifacts, about = self._owner.artifacts, (self._protocol.name, self._resource.project)
        seen = await artifacts.first_seen(*about)
        known = () if seen is None else seen.signatures
        if came is None:
            made = self._unsigned(known)
        else:
            made = came if isinstance(came, Evidence) else await self._verified(came, content, size_bytes)
        verdict = Verdict(False, "trust", made.why)
        if made.status == "unknown":  # an operator's to mend: nothing to remember
            self._refuse(verdict, sha256)
            return told(self._verdicts.content_stamp, verdict)
        mark = mark_of(self._verdicts.signed_by)
        kept = FileSignature(
            self._entry,
            self._resource.filename,
            sha256,
            made.status if came is not None or made.why else "missing",
            made.publisher.repository,
            made.why,
            mark,
        )
        await artifacts.note_seen(*about, lambda noted: noted or Seen(clock.now()))
        await artifacts.store_signature(*about, kept)
        if kept.status != "failed":
            self.changes_pages = any(each.entry == self._entry and each.status == "failed" for each in known)
            return ""
        self.changes_pages = True
        await self._note_refused(verdict, sha256)
        self._owner.refused.put(self._key, (time.monotonic() + FALSE_SECONDS, verdict))
        self._refuse(verdict, sha256)
        return told(self._verdicts.content_stamp, verdict)

    def _refuse(self, verdict: Verdict, sha256: str = "") -> None:
        """Unless an operator has said otherwise, by now."""
        resource = self._resource
        version = self._protocol.grammar.version_asked(resource)
        verdicts = self._owner.access.policy.of(self._protocol.name, resource.project)
        if verdicts.by_hand(version, sha256) is None:
            raise TrustDowngrade(verdict.refusal(f"{resource.filename} of {resource.project}").message)

    async def _note_refused(self, verdict: Verdict, sha256: str) -> None:
        resource = self._resource
        about, detail = (resource.project, resource.filename), {"sha256": sha256, "because": verdict.why}
        log.warning("unsigned_file_refused", project=about[0], filename=about[1], **detail)
        detail["source"] = self._found.source.name
        await self._owner.artifacts.record_event("blocked_file_refused", self._protocol.name, *about, detail)

    def _unsigned(self, known: Iterable[FileSignature]) -> Evidence:
        rule = self._verdicts.trust
        had = signed_before(self._entry, known)
        if had:
            return Evidence("failed", why=f"it has no signature, unlike {had}")
        if rule is not None and rule.unknown == "hold":
            return Evidence("failed", why="it has no signature")
        return Evidence("verified")

    async def _fetch(self) -> bytes | Evidence | None:
        """None: there is none."""
        source, url = self._found.source, self._found.entry.signature_url
        try:
            answer = await self._owner.upstreams.fetch_small(source, url, max_bytes=LARGEST_BYTES)
            if answer.status != 200:
                return None
            return decode_body(answer.body, answer.content_encoding, max_bytes=LARGEST_BYTES)
        except TooLarge:
            return Evidence("failed", why=f"its signature has more than {LARGEST_BYTES} bytes")

    async def _verified(self, signature: bytes, content: BinaryIO, size_bytes: int) -> Evidence:
        extra = size_bytes // HASHED_BYTES
        order = SignedFile(
            signature,
            self._verdicts.signed_by,
            tuple(map(str, await self._owner.threads.run(self._owner.key_files))),
            CPU_SECONDS + extra,
        )
        files: tuple[int, ...] = ()
        if isinstance(content, io.BytesIO):
            order = msgspec.structs.replace(order, content=content.getvalue())
        else:
            files = (content.fileno(),)
            order = msgspec.structs.replace(order, path=f"/proc/self/fd/{content.fileno()}")
        async with self._owner.children:
            try:
                question = msgspec.msgpack.encode(order)
                return _decode(await answer_of(_CHILD, question, VERIFY_SECONDS + extra, files))
            except TimeoutError:
                return Evidence("unknown", why="to verify its signature takes too long")
            except msgspec.MsgspecError:
                return Evidence("failed", why="to verify its signature takes too much memory or time")
