"""All regular files below a folder, one after the other, by the path that their store gives them.

No link is followed: what it leads to is here itself, or does not belong to the folder.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import msgspec

from shared.protocols.roles.importing import Told

MAX_BESIDE_BYTES = 64 * 1024 * 1024  # of what a store says of a package: packuments have up to 40 MB
MAX_PARTS = 64
BLOB, ABOUT_BLOB = ".bytes", ".properties"  # of a file blob store: the bytes, and what they are
BLOB_NAME, BLOB_GONE = "@BlobStore.blob-name", "deleted"


class Seen(msgspec.Struct, frozen=True):
    """One file. `why`: it cannot be taken, and is not opened."""

    path: Path
    parts: tuple[str, ...] = ()  # in the folder, or of the name that its blob store gives it
    told: tuple[Told, ...] = ()  # by its blob store
    why: str = ""


def walk(root: Path) -> Iterator[Seen]:
    """Folder by folder, in the order of names; in memory are the names of the folders above. Raises
    `OSError` for `root` alone."""
    stack = [iter(_names(root))]
    folders = [root]
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
            folders.pop()
            continue
        path = folders[-1] / entry.name
        if entry.is_symlink():
            yield Seen(path, why="a link: links are not followed")
        elif entry.is_dir(follow_symlinks=False):
            if len(folders) > MAX_PARTS:
                yield Seen(path, why=f"more than {MAX_PARTS} folders deep")
                continue
            try:
                stack.append(iter(_names(path)))
                folders.append(path)
            except OSError as error:
                yield Seen(path, why=f"cannot be read: {error.strerror}")
        elif entry.is_file(follow_symlinks=False) and not entry.name.endswith(ABOUT_BLOB):
            yield from _seen(path, root)


def open_file(path: Path) -> BinaryIO:
    """A regular file for reading, never through a link. Raises `OSError`."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(0, "no regular file", str(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


@lru_cache(4)  # asked for once for each file of a folder
def read_beside(path: Path) -> bytes | None:
    """A small file; None where there is none that can be read."""
    try:
        with open_file(path) as file:
            content = file.read(MAX_BESIDE_BYTES + 1)
    except OSError:
        return None
    return content if len(content) <= MAX_BESIDE_BYTES else None


def _names(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda each: each.name)


def _seen(path: Path, root: Path) -> Iterator[Seen]:
    parts = path.relative_to(root).parts
    told: tuple[Told, ...] = ()
    if path.suffix == BLOB and (about := read_beside(path.with_suffix(ABOUT_BLOB))) is not None:
        values = _properties(about)
        if values.get(BLOB_GONE) == "true":
            return
        parts = tuple(each for each in values.get(BLOB_NAME, "").split("/") if each)
        told = (Told(("sha1",), values["sha1"].lower()),) if values.get("sha1") else ()
    if not parts or not all(_is_plain(each) for each in parts):
        yield Seen(path, why="its name holds what no package's name can")
        return
    yield Seen(path, parts, told)


def _is_plain(part: str) -> bool:
    return part.isprintable() and part not in (".", "..") and "\\" not in part and len(part) <= 255


def _properties(content: bytes) -> dict[str, str]:
    """Java's format of properties, as blob stores write it."""
    found = {}
    for line in content.decode("latin-1").splitlines():
        name, sign, value = line.partition("=")
        if sign and not name.startswith("#"):
            found[name.strip()] = value.strip().replace("\\:", ":").replace("\\=", "=")
    return found
