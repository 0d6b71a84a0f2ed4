"""The object store in a folder: for standalone, for tests, and for a shared volume.

`artifacts/<sha256>` lies at `<root>/artifacts/ab/<sha256>`. The 256 folders of a kind are made at the
start: making and syncing folders took longer than the put itself. A put writes (or links) a complete,
synced file and then gives it its name, so that neither a crash nor a full disk shows a part of an object.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import ParamSpec, TypeVar

from shared.errors.passing import ObjectMissing, StoreUnavailable
from shared.objects.file_reads import is_no_file, open_file, pread_cached, read_cached, read_file
from shared.objects.port import FOLDERS, STREAM_CHUNK_BYTES, GrowingPut, ObjectStat, split_key
from shared.process.threads import BoundedThreads

P = ParamSpec("P")
R = TypeVar("R")

FILE_MODE = 0o644
FOLDER_MODE = 0o755
LEFTOVER_SECONDS = 3600.0  # I5: incomplete puts are gone within the hour
AHEAD: tuple[str, ...] = (
    FOLDERS  # kinds whose folders are made at the start; tests make them where they put something
)
ASIDE = ".damaged"  # folder of damaged objects, and of what else was in an object's place
ASIDE_SECONDS = 7 * 86_400.0
LIST_BATCH = 1000
_CANNOT_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS}


class FileObjectStore:
    """`ObjectStore` on a local file system. `threads` is shared; its owner closes it."""

    def __init__(self, root: Path, threads: BoundedThreads) -> None:
        self._root = root
        self._incoming = root / ".incoming"
        self._threads = threads
        self._made: set[Path] = set()  # folders known to exist: 256 per kind

    def __repr__(self) -> str:
        return f"FileObjectStore({str(self._root)!r})"

    # --- the port -----------------------------------------------------------------------------

    async def put_file(self, key: str, path: Path, *, sha256: str) -> None:
        """See `ObjectStore`. Linked in without copying when `path` is on the same file system."""
        await self._run(key, self._link_in, self._path(key), path)

    def begin_put(self, key: str, path: Path) -> None:
        """See `ObjectStore`. A link at the end takes no time."""

    async def finish_put(self, put: GrowingPut, key: str, path: Path, *, sha256: str) -> None:
        """See `ObjectStore`."""
        await self.put_file(key, path, sha256=sha256)

    async def put_bytes(self, key: str, data: bytes) -> None:
        """See `ObjectStore`. Two syncs: the file, then its folder."""
        await self._run(key, self._write, self._path(key), data)

    async def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """See `ObjectStore`. Small reads of what the kernel holds in memory cost no thread switch."""
        path = self._path(key)
        found = read_cached(path, start, length)
        if found is not None:
            return found
        return await self._run_reading(key, read_file, path, start, length)

    async def open_stream(
        self, key: str, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """See `ObjectStore`. The file is closed when the iteration ends, fails or is given up."""
        # A file object, not a descriptor: if this wait is cancelled, its collection closes it.
        file = await self._run_reading(key, open_file, self._path(key))
        descriptor = file.fileno()
        try:
            position = start
            while end is None or position < end:
                wanted = STREAM_CHUNK_BYTES if end is None else min(STREAM_CHUNK_BYTES, end - position)
                chunk = pread_cached(descriptor, wanted, position)
                if chunk is None:
                    chunk = await self._run(key, os.pread, descriptor, wanted, position)
                if not chunk:
                    return
                position += len(chunk)
                yield chunk
        finally:
            file.close()

    async def stat(self, key: str) -> ObjectStat | None:
        """See `ObjectStore`."""
        path = self._path(key)
        try:
            found = await self._run_reading(key, path.stat)
        except ObjectMissing:
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        return ObjectStat(key, found.st_size, found.st_mtime)

    async def delete(self, key: str) -> None:
        """See `ObjectStore`."""
        await self._run(key, _remove, self._path(key))

    async def set_aside(self, key: str) -> None:
        """See `ObjectStore`. Beside the objects in `.damaged`, for seven days."""
        await self._run(key, self._put_aside, self._path(key))

    def local_path(self, key: str) -> Path | None:
        """Where the object lies, for `pathsend`; not checked to exist."""
        return self._path(key)

    async def list(self, prefix: str, after: str = "") -> AsyncIterator[ObjectStat]:
        """See `ObjectStore`. Objects put or deleted meanwhile may or may not be listed."""
        folder = prefix.split("/", 1)[0]
        walk = _walk(self._root, folder, after)
        while batch := await self._run(prefix, _take, walk, LIST_BATCH):
            for found in batch:
                if found.key.startswith(prefix):
                    yield found

    async def check(self) -> None:
        """See `ObjectStore`. Makes the folders that are missing; writes, reads and removes a probe file."""
        await self._run("check", self._make_folders)
        await self._run("check", self._probe)

    # --- in threads -----------------------------------------------------------------------------

    async def _run(self, key: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await self._threads.run(function, *args, **kwargs)
        except FileNotFoundError as error:
            raise ObjectMissing(f"object {key} is missing") from error
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, "unknown")
            raise StoreUnavailable(f"the object store failed at {key}: {name}") from error

    async def _run_reading(self, key: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs a read; what is no file, or may not be read, counts as missing: it is fetched again."""
        try:
            return await self._threads.run(function, *args, **kwargs)
        except OSError as error:
            if is_no_file(error):
                raise ObjectMissing(f"object {key} is missing") from error
            name = errno.errorcode.get(error.errno or 0, "unknown")
            raise StoreUnavailable(f"the object store failed at {key}: {name}") from error

    def _path(self, key: str) -> Path:
        folder, digest = split_key(key)
        return self._root / folder / digest[:2] / digest

    def _link_in(self, target: Path, source: Path) -> None:
        descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fchmod(descriptor, FILE_MODE)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._make_folder(target.parent)
        try:
            os.link(source, target)
        except FileExistsError:
            self._replace(target, source)  # verified bytes heal an object that decayed on disk
        except OSError as error:
            if error.errno not in _CANNOT_LINK:
                raise
            self._replace(target, source)
        _sync_folder(target.parent)

    def _replace(self, target: Path, source: Path) -> None:
        temporary = self._temporary()
        try:
            try:
                os.link(source, temporary)
            except OSError as error:
                if error.errno not in _CANNOT_LINK:
                    raise
                with source.open("rb") as reader, temporary.open("xb") as writer:
                    os.fchmod(writer.fileno(), FILE_MODE)
                    shutil.copyfileobj(reader, writer, 1024 * 1024)
                    writer.flush()
                    os.fsync(writer.fileno())
            self._give_name(temporary, target)
        finally:
            # Renaming one link of a file onto another does nothing and leaves both (rename(2)).
            temporary.unlink(missing_ok=True)

    def _write(self, target: Path, data: bytes) -> None:
        if _holds(target, data):
            os.utime(target)  # a sweeper judges by age: this object is wanted again
            _sync_folder(target.parent)  # its writer may not have removed it yet
            return
        temporary = self._temporary()
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
            try:
                os.fchmod(descriptor, FILE_MODE)
                view = memoryview(data)
                while view:
                    view = view[os.write(descriptor, view) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._make_folder(target.parent)
            self._give_name(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)

    def _give_name(self, temporary: Path, target: Path) -> None:
        try:
            temporary.replace(target)
        except IsADirectoryError:
            self._put_aside(target)
            temporary.replace(target)

    def _put_aside(self, path: Path) -> None:
        folder = self._root / ASIDE
        self._make_folder(folder)
        try:
            path.rename(folder / f"{path.parent.parent.name}-{path.name}-{uuid.uuid4().hex[:8]}")
        except OSError as error:
            if not is_no_file(error):
                raise

    def _temporary(self) -> Path:
        self._make_folder(self._incoming)
        return self._incoming / uuid.uuid4().hex

    def _make_folder(self, folder: Path) -> None:
        if folder in self._made and folder.is_dir():
            return
        missing = []
        current = folder
        while not current.is_dir():
            missing.append(current)
            current = current.parent
        for path in reversed(missing):
            self._clear_way(path)
            path.mkdir(mode=FOLDER_MODE, exist_ok=True)
            path.chmod(FOLDER_MODE)  # whatever the umask says: gateways may run as another user
            _sync_folder(path.parent)
        self._made.add(folder)

    def _clear_way(self, path: Path) -> None:
        """Nothing but a folder stands at `path` afterwards, or a whole kind's link: an unmounted disk."""
        if self._root not in path.parents or not _is_in_the_way(path):
            return
        if path.name in (self._incoming.name, ASIDE):
            with contextlib.suppress(IsADirectoryError):
                path.unlink(missing_ok=True)
        elif path.parent != self._root or not path.is_symlink():
            self._make_folder(self._root / ASIDE)
            aside = self._root / ASIDE / f"{path.parent.name}-{path.name}-{uuid.uuid4().hex[:8]}"
            aside.touch()  # over a file no folder can be renamed that another process has made meanwhile
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                path.rename(aside)

    def _make_folders(self) -> None:
        for kind in AHEAD:
            top = self._root / kind
            self._make_folder(top)
            wanted = {f"{number:02x}" for number in range(256)}
            missing = wanted - {path.name for path in top.iterdir() if path.is_dir()}
            for name in missing:
                self._clear_way(top / name)
                (top / name).mkdir(mode=FOLDER_MODE, exist_ok=True)
                (top / name).chmod(FOLDER_MODE)
            if missing:
                _sync_folder(top)
            self._made.update(top / name for name in wanted)

    def _probe(self) -> None:
        probe = self._temporary()
        try:
            probe.write_bytes(b"orchard")
            if probe.read_bytes() != b"orchard":
                raise OSError(errno.EIO, "read back other bytes")
        finally:
            probe.unlink(missing_ok=True)
        self.clear_leftovers()

    def clear_leftovers(self) -> None:
        """Remove what a crash left half-written, and damaged objects that were set aside long ago. Blocks."""
        for folder, seconds in ((self._incoming, LEFTOVER_SECONDS), (self._root / ASIDE, ASIDE_SECONDS)):
            oldest = time.time() - seconds
            for leftover in folder.iterdir() if folder.is_dir() else ():
                with contextlib.suppress(FileNotFoundError):
                    found = leftover.lstat()
                    # What was set aside keeps its own date; when it was renamed is its ctime.
                    if (found.st_mtime if folder is self._incoming else found.st_ctime) < oldest:
                        _remove(leftover)


def _is_in_the_way(path: Path) -> bool:
    """Whether something else than a folder, or a link to one, stands there. It is looked at once: another
    process that starts on the same data may be making the folder now."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    return not stat.S_ISDIR(mode) and not (stat.S_ISLNK(mode) and path.is_dir())


def _holds(path: Path, data: bytes) -> bool:
    try:
        if path.stat().st_size != len(data):
            return False
        return path.read_bytes() == data
    except OSError as error:
        if is_no_file(error):
            return False
        raise


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except (IsADirectoryError, PermissionError):  # EPERM: how some systems refuse to unlink a folder
        if not path.is_dir():
            raise
        shutil.rmtree(path)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _walk(root: Path, folder: str, after: str) -> Iterator[ObjectStat]:
    """In the order of keys; holds the names of one of the 256 folders of a kind at a time."""
    for kind in [folder] if folder else _names(root):
        if not kind[:1].islower():
            continue
        for part in _names(root / kind):
            if len(part) != 2 or f"{kind}/{part}\uffff" <= after:
                continue
            for name in _names(root / kind / part):
                key = f"{kind}/{name}"
                if key <= after:
                    continue
                try:
                    found = (root / kind / part / name).stat()
                except OSError as error:
                    if is_no_file(error):
                        continue
                    raise
                if stat.S_ISREG(found.st_mode):
                    yield ObjectStat(key, found.st_size, found.st_mtime)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names, a third of the time
    except OSError as error:
        if is_no_file(error):
            return []
        raise


def _take(walk: Iterator[ObjectStat], count: int) -> tuple[ObjectStat, ...]:
    return tuple(found for _, found in zip(range(count), walk, strict=False))
