"""The port `Objects`, over an object store: nothing is served that nobody has hashed.

Whether an object is intact is decided in one place (shared/objects/verify.py). Small objects are hashed
before they are served, large ones while they are sent for the first time, with their last piece held back;
from then on the server sends them by path. docs/decisions/0021 says what is promised and what is not.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable, Hashable
from pathlib import Path

from services.gateway.hits.hot_objects import HotObjects
from services.gateway.hits.uses import UseLog
from services.gateway.serving.ports import Body
from shared.errors.passing import ObjectMissing, StoreUnavailable
from shared.objects.file_reads import is_no_file, stat_to_send
from shared.objects.port import ObjectStore, split_key
from shared.objects.s3.store import S3ObjectStore
from shared.objects.verify import Verifier, mark_of, read_whole
from shared.process.bounded import Bounded
from shared.process.threads import BoundedThreads

IN_MEMORY_BYTES = 64 * 1024
"""Files up to this are read in one go: measured 22,400 against 15,600 requests/s of 10 kB by pathsend."""

HASHED_FIRST_BYTES = 8 * 1024 * 1024
"""Local files up to this are hashed before they are served for the first time: some 10 ms, once."""

SEEN_SECONDS = 30.0
"""An object that was there is taken to be there for so long, before a client is sent to it."""

SEEN_MOST = 10_000
REDIRECT_SECONDS = 300  # how long a presigned URL may be used, also after a block; clocks may differ by less


class _LocalFile:
    """A whole local file, sent by the server without passing through Python."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    async def chunks(self) -> AsyncIterator[bytes]:
        with open(self.path, "rb") as file:  # noqa: ASYNC230, PTH123 - for servers without pathsend
            while chunk := file.read(IN_MEMORY_BYTES):
                yield chunk

    async def aclose(self) -> None:
        """Nothing is open."""


class _Stream:
    """A slice read through the store, with its first chunk already here: a missing object is known
    before any header goes out."""

    path = ""

    def __init__(self, first: bytes, rest: AsyncIterator[bytes], length: int) -> None:
        self._first = first
        self._rest = rest
        self._left = length

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._all():
            yield chunk
        if self._left:
            raise StoreUnavailable("an object is shorter than it was")

    async def _all(self) -> AsyncIterator[bytes]:
        self._left -= len(self._first)
        yield self._first
        async for chunk in self._rest:
            self._left -= len(chunk)
            yield chunk

    async def aclose(self) -> None:
        closing = getattr(self._rest, "aclose", None)
        if closing is not None:
            await closing()


class _HashedStream(_Stream):
    """A whole object, hashed as it goes out. Its last piece waits for the digest."""

    def __init__(
        self,
        first: bytes,
        rest: AsyncIterator[bytes],
        length: int,
        *,
        sha256: str,
        threads: BoundedThreads,
        verified: Callable[[bool], None],
    ) -> None:
        super().__init__(first, rest, length)
        self._sha256 = sha256
        self._threads = threads
        self._verified = verified

    async def chunks(self) -> AsyncIterator[bytes]:
        digest = hashlib.sha256()
        held = b""
        async for chunk in self._all():
            if held:
                yield held
            await self._threads.run(digest.update, chunk)
            held = chunk
        right = not self._left and digest.hexdigest() == self._sha256
        self._verified(right)
        if not right:
            raise StoreUnavailable("a stored object is damaged; whoever asks next has it fetched again")
        yield held


def _opens(path: Path) -> bool:
    try:
        stat_to_send(path)
    except OSError:
        return False
    return True


def _forget(key: str) -> None:
    """Where nobody wants to know."""


class StoredObjects:
    """Fulfils the port `Objects` over an `ObjectStore`. `redirect_to`: the store that clients are sent to;
    `hot`: local copies of what a remote store is asked for often; `uses`: who writes down what is used."""

    def __init__(
        self,
        store: ObjectStore,
        verifier: Verifier,
        threads: BoundedThreads,
        *,
        redirect_to: S3ObjectStore | None = None,
        hot: HotObjects | None = None,
        uses: UseLog | None = None,
    ) -> None:
        self._store = store
        self._verifier = verifier
        self._threads = threads
        self._redirect_to = redirect_to
        self._hot = hot
        self._note = uses.note if uses is not None else _forget
        self._seen = Bounded[str, float](SEEN_MOST)  # objects known to be there: until when

    @property
    def redirects(self) -> bool:
        return self._redirect_to is not None

    async def read_whole(self, key: str) -> bytes:
        """A small object, hashed. Raises `ObjectMissing`, `StoreUnavailable`."""
        return await read_whole(self._store, key, self._threads)

    async def is_intact(self, key: str, size_bytes: int) -> bool:
        # Of a bucket: size, and what is known of its bytes. They are hashed when they pass through here.
        mark, right = await self._judge(key, size_bytes)
        if mark is not None and right is None:
            self._verify_beside(key, size_bytes, mark)
        return mark is not None and right is not False

    async def _judge(self, key: str, size_bytes: int) -> tuple[Hashable | None, bool | None]:
        """An object's mark (None: missing) and whether its bytes are right (None: not hashed yet)."""
        verifier = self._verifier
        mark = await verifier.mark(key, size_bytes)
        if mark is None:
            return None, False
        right = verifier.known(key, mark)
        if right is None and size_bytes <= HASHED_FIRST_BYTES and self._store.local_path(key) is not None:
            right = await verifier.is_intact(key, size_bytes)
        return mark, right

    def _verify_beside(self, key: str, size_bytes: int, mark: Hashable) -> None:
        if self._store.local_path(key) is not None:
            self._verifier.verify_beside(key, size_bytes, mark)

    async def locate(
        self, key: str, *, size_bytes: int, filename: str, content_type: str, head: bool
    ) -> str | None:
        # A client that was sent to an object which is gone would get the store's 404: look first.
        store = self._redirect_to
        assert store is not None
        self._note(key)
        now = time.monotonic()
        if (self._seen.get(key) or 0.0) < now:
            if not await self.is_intact(key, size_bytes):
                self._seen.pop(key)
                return None
            self._seen.put(key, now + SEEN_SECONDS)
        return store.presign(
            key,
            expires_seconds=REDIRECT_SECONDS,
            method="HEAD" if head else "GET",
            filename=filename,
            content_type=content_type,
        )

    def watch(self, key: str, size_bytes: int) -> Callable[[], bool] | None:
        """A check, without waiting, that the local file which `open` has just returned is still there, whole
        and as it was hashed. None: it was not a local file, or is not hashed yet."""
        hot, note = self._hot, self._note
        if hot is not None:
            if not hot.holds(key):
                return None

            def is_copied() -> bool:
                note(key)
                found = hot.find(key, size_bytes)
                return found is not None and (size_bytes <= IN_MEMORY_BYTES or _opens(found))

            return is_copied
        path = self._store.local_path(key)
        if path is None:
            return None
        mark, until = self._verifier.standing(key, size_bytes)
        text, now = str(path), time.monotonic
        if mark is None:
            return None

        look = os.stat if size_bytes <= IN_MEMORY_BYTES else stat_to_send  # 2 µs, in memory; 5 µs

        def is_there() -> bool:
            note(key)
            try:
                return mark_of(look(text)) == mark and now() < until
            except OSError:
                return False

        return is_there

    async def open(self, key: str, start: int, length: int, *, size_bytes: int) -> Body | bytes | None:
        self._note(key)
        if self._hot is not None:
            copy = await self._open_hot(self._hot, key, start, length, size_bytes)
            if copy is not None:
                return copy
        path = self._store.local_path(key)
        try:
            if path is None:
                return await self._open_remote(key, start, length, size_bytes)
            mark, right = await self._judge(key, size_bytes)
            if mark is None or right is False:
                return None  # cut short, decayed, no file at all: counts as missing, and is fetched again
            if length <= IN_MEMORY_BYTES:
                if right is None:
                    self._verify_beside(key, size_bytes, mark)
                data = await self._store.read(key, start, length)
                return data if len(data) == length else None
            if length == size_bytes and right:
                stat_to_send(path)
                return _LocalFile(path)
            rest = self._store.open_stream(key, start, start + length)
            if length < size_bytes:
                if right is None:
                    self._verify_beside(key, size_bytes, mark)
                return _Stream(await anext(rest), rest, length)
            return self._hashed(await anext(rest), rest, key, mark, length)
        except (ObjectMissing, StopAsyncIteration):
            return None
        except OSError as error:
            if is_no_file(error):
                return None
            # No descriptor left, a disk or a mount that fails.
            raise StoreUnavailable(f"an object cannot be opened: {os.strerror(error.errno or 0)}") from error

    def _hashed(
        self, first: bytes, rest: AsyncIterator[bytes], key: str, mark: Hashable, length: int
    ) -> _HashedStream:
        def verified(right: bool) -> None:
            self._verifier.remember(key, mark, right)

        return _HashedStream(
            first, rest, length, sha256=split_key(key)[1], threads=self._threads, verified=verified
        )

    async def _open_remote(self, key: str, start: int, length: int, size_bytes: int) -> Body | bytes | None:
        """From a bucket: whole objects are hashed on their way, or were a while ago; of slices only the size
        is checked, and what is known already."""
        mark = self._verifier.remote_mark(size_bytes)
        right = self._verifier.known(key, mark)
        if right is False and not await self._verifier.is_intact(key, size_bytes, anew=True):
            return None
        if length < size_bytes or right:
            if length <= IN_MEMORY_BYTES:
                data = await self._store.read(key, start, length)
                return data if len(data) == length else None
            rest = self._store.open_stream(key, start, start + length)
            return _Stream(await anext(rest), rest, length)
        rest = self._store.open_stream(key, 0, size_bytes + 1)  # one more: an object that has more is another
        if length > IN_MEMORY_BYTES:
            return self._hashed(await anext(rest), rest, key, mark, length)
        data = b"".join([chunk async for chunk in rest])
        found = len(data) == length and hashlib.sha256(data).hexdigest() == split_key(key)[1]
        self._verifier.remember(key, mark, found)
        return data if found else None

    @staticmethod
    async def _open_hot(
        hot: HotObjects, key: str, start: int, length: int, size_bytes: int
    ) -> Body | bytes | None:
        whole = length == size_bytes
        path = hot.find(key, size_bytes, whole=whole)
        if path is None and whole:
            path = await hot.adopted(key, size_bytes)
        if path is None:
            return None
        if length <= IN_MEMORY_BYTES:
            return await hot.read(path, start, length)
        if whole:
            return _LocalFile(path) if _opens(path) else None  # the store is asked instead
        rest = hot.stream(path, start, start + length)
        try:
            return _Stream(await anext(rest), rest, length)
        except (ObjectMissing, StopAsyncIteration):
            return None
