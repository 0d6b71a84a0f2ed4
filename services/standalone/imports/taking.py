"""One file of a folder: copied and hashed, compared with what its store says, read by its protocol."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import BinaryIO, NamedTuple

from services.standalone.imports.walking import Seen, open_file, read_beside
from shared.protocols import PROTOCOLS
from shared.protocols.base import PackageProxyBase
from shared.protocols.roles.importing import DIGESTS, Damaged, Imported, NotMine

CHUNK_BYTES = 1024 * 1024


class Refused(Exception):
    """A file that is left out; the text says why."""


class Taken(NamedTuple):
    """A file that can be imported. `copy`: its bytes, for who takes it to remove; None: only looked at."""

    path: Path  # where it was found
    protocol: PackageProxyBase
    file: Imported
    copy: Path | None


def protocols_of(seen: Seen) -> list[PackageProxyBase]:
    """Those whose file it can be by its name; none: it is passed over."""
    return [each for each in PROTOCOLS if seen.parts and each.importing.may_be(seen.parts)]


def take(seen: Seen, protocols: list[PackageProxyBase], spool: Path | None, most: int) -> Taken:
    """`spool`: where it is copied to; None: it is read and nothing is written. `most`: bytes of a file.

    Raises `Refused`.
    """
    copy: Path | None = None
    try:
        with open_file(seen.path) as source:
            if os.fstat(source.fileno()).st_size > most:
                raise Refused(f"larger than {most} bytes")
            if spool is None:
                return _taken(seen, protocols, source, _digests(source, None), None)
            handle, name = tempfile.mkstemp(prefix=".import-", dir=spool)
            copy = Path(name)
            with os.fdopen(handle, "w+b") as target:
                return _taken(seen, protocols, target, _digests(source, target), copy)
    except OSError as error:
        _drop(copy)
        raise Refused(f"cannot be read: {error.strerror or error}") from None
    except BaseException:
        _drop(copy)
        raise


def _drop(copy: Path | None) -> None:
    if copy is not None:
        copy.unlink(missing_ok=True)


def _digests(source: BinaryIO, target: BinaryIO | None) -> dict[str, str]:
    running = {
        each: hashlib.blake2b(digest_size=32)
        if each == "blake2b"
        else hashlib.new(each, usedforsecurity=False)
        for each in DIGESTS
    }
    while chunk := source.read(CHUNK_BYTES):
        for each in running.values():
            each.update(chunk)
        if target is not None:
            target.write(chunk)
    if target is not None:
        target.flush()
    return {name: each.hexdigest() for name, each in running.items()}


def _taken(
    seen: Seen,
    protocols: list[PackageProxyBase],
    file: BinaryIO,
    digests: dict[str, str],
    copy: Path | None,
) -> Taken:
    size, why = file.seek(0, os.SEEK_END), "no protocol knows it"

    def beside(name: str) -> bytes | None:
        return None if seen.told else read_beside(seen.path.with_name(name))

    for protocol in protocols:
        try:
            for told in (*seen.told, *protocol.importing.told(seen.parts, beside)):
                if not told.fits(digests):
                    raise Damaged(f"its store says another {' or '.join(told.algorithms)}: {told.digest}")
            file.seek(0)
            listed = protocol.importing.read(seen.parts, file, size, beside)
        except NotMine as error:
            why = str(error)
            continue
        except Damaged as error:
            raise Refused(str(error)) from None
        kept = {name: digest for name, digest in digests.items() if name != "sha256"}
        return Taken(seen.path, protocol, Imported(listed, digests["sha256"], size, kept), copy)
    raise Refused(why)
