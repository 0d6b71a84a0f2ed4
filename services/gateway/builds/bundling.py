"""`Bundling`: a sealed build as a bundle, streamed (docs/decisions/0049).

The extractor makes and signs the head; here it is asked whether all of it may be given, before the first byte
and again before each object, and the objects follow as they lie in the store, hashed on their way.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
from collections.abc import AsyncIterator, Callable, Collection, Sequence

import msgspec

from services.gateway.builds.allowed import check_file, check_list
from services.gateway.builds.judged import as_judged_now
from services.gateway.builds.waiting import work_done
from services.gateway.serving.ports import Ports
from shared.access.watcher import AccessWatcher
from shared.builds.entries import BuildList, File
from shared.bundles.form import CARRIED, LEFT_OUT, BundleRefused, read_head
from shared.bundles.manifest import Manifest, Object, read_manifest
from shared.errors.passing import StoreUnavailable
from shared.objects.verify import read_whole
from shared.policy.policy import Policy
from shared.protocols import find_protocol
from shared.queue.jobs import MakeBundle
from shared.redis import clock
from shared.stores import Stores

AT_ONCE = 16  # objects that are looked for beside one another

Note = Callable[[File], None]


class Bundle(msgspec.Struct, frozen=True):
    """A bundle on its way out."""

    size_bytes: int
    body: AsyncIterator[bytes]


class Bundling:
    """Of one gateway."""

    def __init__(self, stores: Stores, ports: Ports, access: AccessWatcher) -> None:
        self._stores = stores
        self._ports = ports
        self._access = access

    async def bundle(
        self, build: str, have: Collection[str], since: int, request_id: str, note: Note
    ) -> Bundle:
        """Of a sealed build, without the objects whose SHA256s are in `have`. `since`: entries of the log
        that its reader has seen, 0: none. `note` is told of each file that has gone out.

        Raises `BuildNotFound`, `Blocked` for what may not be given, `StoreUnavailable`, and what `MakeBundle`
        fails with."""
        head = await self._head(MakeBundle(build=build, since=since, request_id=request_id))
        manifest = await self._stores.threads.run(_manifest_of, head)
        listed = await self._judged_now(manifest.listed, request_id)
        policy = self._access.policy
        check_list(listed, policy, clock.now())
        files: dict[str, list[File]] = {}
        for file in listed.files:
            assert file.stored is not None
            files.setdefault(file.stored.object_key, []).append(file)
        objects = manifest.objects
        left_out = {each.key for each in objects if each.key[-64:] in have}
        carried = [each for each in objects if each.key not in left_out]
        await self._check_there(carried)
        size = len(head) + len(objects) + sum(each.size for each in carried)
        return Bundle(size, self._body(head, objects, listed, policy, files, left_out, note))

    async def _check_there(self, objects: Sequence[Object]) -> None:
        """Raises `StoreUnavailable` for one that is not there as it is to be."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def check(of: Object) -> None:
            async with turns:
                found = await self._stores.bare_objects.stat(of.key)
            if found is None or found.size_bytes != of.size:
                raise StoreUnavailable(f"an object of the build is damaged or lost: {of.key}")

        await asyncio.gather(*map(check, objects))

    async def _judged_now(self, listed: BuildList, request_id: str) -> BuildList:
        """With what the rules of now came to beside each file, nothing where there are none: they may change
        while it goes out. Raises `Blocked` and its kinds, and passing
        errors while that cannot be told."""
        files = []
        for each in listed.files:
            protocol = find_protocol(each.protocol)
            if each.stored is not None and protocol is not None:
                stored = msgspec.structs.replace(each.stored, judged="")
                if self._access.policy.any:
                    resource = protocol.grammar.artifact_resource(each.file)
                    stored = await as_judged_now(stored, resource, self._ports, request_id)
                each = msgspec.structs.replace(each, stored=stored)
            files.append(each)
        return msgspec.structs.replace(listed, files=files)

    async def _head(self, job: MakeBundle) -> bytes:
        async def never() -> bool:
            return False  # the event alone tells where it is; the queue keeps it for some seconds

        seconds = self._ports.settings.request_seconds()
        event = await work_done(job, self._ports, until=never, seconds=seconds)
        key = event.value.decode()
        return await read_whole(self._stores.bare_objects, key, self._stores.threads)

    async def _body(
        self,
        head: bytes,
        objects: list[Object],
        listed: BuildList,
        checked: Policy,
        files: dict[str, list[File]],
        left_out: set[str],
        note: Note,
    ) -> AsyncIterator[bytes]:
        yield head
        for each in objects:
            if self._access.policy is not checked:  # of pages too: an object tells of no project
                checked = self._access.policy
                check_list(listed, checked, clock.now())
            if each.key in left_out:
                yield LEFT_OUT
                continue
            for file in files.get(each.key, ()):
                check_file(file, self._access.policy, clock.now())
            yield CARRIED
            digest, held = hashlib.sha256(), b""
            async with contextlib.aclosing(self._stores.bare_objects.open_stream(each.key)) as chunks:
                async for chunk in chunks:
                    digest.update(chunk)
                    if held:
                        yield held
                    held = chunk
            if digest.hexdigest() != each.key[-64:]:  # before its end goes out
                raise StoreUnavailable(f"an object of the build is damaged: {each.key}")
            yield held
            for file in files.get(each.key, ()):
                note(file)


def _manifest_of(head: bytes) -> Manifest:
    """Raises `StoreUnavailable` for one that no reader would take."""
    try:
        return read_manifest(read_head(io.BytesIO(head).read))[0]
    except BundleRefused as error:
        raise StoreUnavailable(f"the bundle's head is not as it must be: {error}") from None
