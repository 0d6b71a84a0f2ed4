"""Job `make_bundle`: the head of a sealed build's bundle, put into the object store (docs/decisions/0049).

Whoever has the log's key signs: what it signs it has made itself of what is stored, never what it was sent.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

from shared.builds.entries import BuildList, decode_list, decode_session
from shared.builds.rows import SEALED
from shared.bundles.form import note_text, write_head
from shared.bundles.manifest import Included, LogPart, encode_manifest, included, logged, make
from shared.bundles.statements import stated_in
from shared.errors import BuildNotFound, Conflict
from shared.errors.passing import ObjectMissing, StoreUnavailable
from shared.objects.port import BUILDS, statement_key
from shared.objects.verify import read_whole
from shared.queue.context import JobContext
from shared.queue.jobs import MakeBundle
from shared.stores import Stores
from shared.telemetry.logs import get_logger
from shared.tlog.dsse import is_named
from shared.tlog.notes import Key
from shared.tlog.signing import Signer
from shared.transparency.reader import LogReader, checkpoint_of
from shared.transparency.rows import LogRows, LogState
from shared.transparency.statements import StatementRows

log = get_logger()

AT_ONCE = 3  # proofs that are made beside one another; other jobs need connections too
TURNS = 20  # that the log is waited for: it is written once a second
TURN_SECONDS = 0.5
KEYLESS = "Give the extractor a key: docs/transparency.md."


class MakeBundleJob:
    """Handler of `MakeBundle`. `signer` None: this Orchard keeps no log."""

    def __init__(self, stores: Stores, signer: Signer | None) -> None:
        self._database = stores.database
        self._objects = stores.objects
        self._threads = stores.threads
        self._signer = signer
        self._reader = LogReader(LogRows(stores.database), stores.objects)
        self._rows = StatementRows(stores.database)

    async def __call__(self, ctx: JobContext, job: MakeBundle) -> None:
        """Raises `BuildNotFound` for what is not sealed, `Conflict` without a log or for a longer one than
        there is, `StoreUnavailable` while the log lacks a file, and what the stores raise."""
        if self._signer is None:
            raise Conflict("nobody signs bundles here: this Orchard keeps no transparency log", hint=KEYLESS)
        row = await self._database.fetchrow(SEALED, job.build)
        if row is None:
            raise BuildNotFound(f"there is no sealed build {job.build}")
        session = decode_session(bytes(row["session"]))
        listed = decode_list(await read_whole(self._objects, session.list_key, self._threads))
        part = await self._log(logged(listed), job.since, str(self._signer.key))
        await self._stated(part.size)
        statements = await self._statements(listed, self._signer.key)
        manifest = await self._threads.run(encode_manifest, make(session, listed, part, statements))
        note = await self._threads.run(self._signer.note, note_text(self._signer.key, manifest))
        head = write_head(note, manifest)
        key = f"{BUILDS}/{hashlib.sha256(head).hexdigest()}"
        await self._objects.put_bytes(key, head)
        log.info("bundle_made", build=job.build, files=session.files, log_size=part.size)
        ctx.done(value=key.encode())

    async def _stated(self, size: int) -> None:
        """Wait until entries up to here have their statements. They may lag behind for long, as after an
        update: a bundle has what there is."""
        for _ in range(TURNS):
            if (await self._rows.stated())[0] >= size:
                return
            await asyncio.sleep(TURN_SECONDS)

    async def _statements(self, listed: BuildList, key: Key) -> list[bytes]:
        """What is stated of the files under their names, the last of each, by this key; those of an older one
        stay at home."""
        wanted = stated_in(listed)
        found = await self._rows.of_files([bytes.fromhex(each.sha256) for each in wanted])
        turns = asyncio.Semaphore(AT_ONCE)

        async def read(sha256: str) -> bytes | None:
            async with turns:
                try:
                    data = await self._objects.read(statement_key(sha256))
                except ObjectMissing:
                    data = b""
            if hashlib.sha256(data).hexdigest() != sha256:
                log.warning("statement_left_out", object=sha256)
                return None
            return data if is_named(data, key) else None

        envelopes = await asyncio.gather(*(read(found[each]) for each in wanted if each in found))
        return [each for each in envelopes if each is not None]

    async def _log(self, files: Sequence[str], since: int, key: str) -> LogPart:
        for _ in range(TURNS):
            state = await self._reader.state()
            if state.key == key and state.checkpoint_size >= since:
                found = await self._proofs(files, state)
                if found is not None:
                    hashes = await self._reader.consistency(since, state.checkpoint_size) if since else []
                    return LogPart(state.checkpoint_size, checkpoint_of(state), found, since, hashes)
            elif state.key == key and state.checkpoint_size == state.size:
                raise Conflict(
                    f"the log has {state.checkpoint_size} entries, and the other bundle has seen {since}",
                    hint="It is of another Orchard, or the database was restored: leave --since out.",
                )
            await asyncio.sleep(TURN_SECONDS)
        raise StoreUnavailable("the transparency log does not have all files of the build yet")

    async def _proofs(self, files: Sequence[str], state: LogState) -> list[Included] | None:
        """One for each file; None while the log lacks one."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(sha256: str) -> Included | None:
            async with turns:
                proof = await self._reader.proof(sha256, state)
            return None if proof is None else included(sha256, proof)

        found = await asyncio.gather(*(one(each) for each in files))
        kept = [each for each in found if each is not None]
        return kept if len(kept) == len(files) else None
