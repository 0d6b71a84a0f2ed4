"""`Archive`: what is inside a file, of a stranger. Asked in the extractor's sandbox, and by the fetcher."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import BinaryIO, ClassVar

from shared.models import BuildNeeds, Extraction, FileEntry
from shared.protocols.reading.magics import COMMON


class Archive(ABC):
    """Readers of package files."""

    @abstractmethod
    def is_extractable(self, filename: str) -> bool:
        """Whether `extract` could read anything of a file of this name."""

    @abstractmethod
    def extract(self, filename: str, file: BinaryIO, size_bytes: int) -> tuple[Extraction, bytes | None]:
        """Dependencies of an artifact, and its raw metadata document if it has one to serve.

        `file` is seekable and may fetch ranges: read little. Never raises for bad input: returns
        state `unextractable` with the reason. Bounded in bytes; the caller bounds time and memory.
        """

    def is_built(self, filename: str) -> bool:
        """Whether clients build a file of this name before they install it, in an environment of its own."""
        return False

    def build_needs(self, filename: str, file: BinaryIO, size_bytes: int) -> BuildNeeds:
        """What that environment is to hold, of a file that `is_built`. As `extract`: bounded in bytes, and
        never raises for bad input. Nothing of the file is run."""
        raise NotImplementedError

    def inner_lock(self, filename: str, file: BinaryIO, size_bytes: int) -> tuple[Extraction, bytes | None]:
        """What a package that brings a lock of its own says of what lies below it, as the resolver's
        `prepare_inner` reads it; else state `unextractable` with the reason. As `extract`: bounded in bytes,
        and never raises for bad input."""
        raise NotImplementedError

    def has_model(self, filename: str) -> bool:
        """Whether the resolver reads this file's `Extraction.model`."""
        return False

    def reads_model(self, model: bytes) -> bool:
        """Whether the resolver can use an `Extraction.model`: another version of this code
        may have written it. If not, the file is read again."""
        return bool(model)

    def metadata_filename(self, filename: str) -> str | None:
        """The name under which a file's core metadata is served, with the file's own id; None where there is
        none. It begins with the file's own name, and no other file of that id does."""
        return None

    def read_metadata(self, filename: str, file: BinaryIO, size_bytes: int) -> bytes:
        """The raw metadata document, as `extract` would give it: for a file that `metadata_filename` has a
        name for. Runs in the fetcher. Of `file` perhaps only some pieces are here: what is read is what is
        needed, and what its reads raise passes.

        Raises `UpstreamInvalid` with the reason for a file that holds none, or lies.
        """
        raise NotImplementedError

    def parent_of(self, filename: str) -> str | None:
        """The file whose core metadata a file of this name is, None for any other: the inverse of
        `metadata_filename`."""
        return None

    def publisher(self, metadata: bytes) -> str:
        """Whom a core metadata document names as its file's author; "" for nobody. Never raises."""
        return ""

    magics: ClassVar[Mapping[str, tuple[bytes, ...]]] = COMMON  # ending of a name → how such files begin

    def magics_of(self, filename: str) -> tuple[bytes, ...]:
        """How a file of this name may begin; () where that is not known. What no digest vouches for, and
        begins otherwise, is not relayed to clients."""
        name = filename.lower()
        return next((magics for ending, magics in self.magics.items() if name.endswith(ending)), ())

    def checks_file(self, entry: FileEntry) -> bool:
        """Whether `check_file` looks at anything of this file."""
        return False

    def check_file(self, entry: FileEntry, file: BinaryIO, size_bytes: int) -> None:  # noqa: B027
        """Raises `UpstreamInvalid` with the reason for a finished file that is not what its entry says.

        Called once, after its digests were found right and before anything of it is kept; no client has its
        last kilobyte yet (docs/decisions/0004). Runs in a thread of the fetcher. `file` is seekable, and its
        reads raise after 20 s: read in pieces, and bound what you unpack.
        """
