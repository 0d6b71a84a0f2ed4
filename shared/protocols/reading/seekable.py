"""`Seekable`: what every read-only file of a known size has, whatever its bytes are read from."""

from __future__ import annotations

import io


class Seekable(io.RawIOBase):
    """The position in a file of `size` bytes. Whoever derives from it gives `read` or `readinto`."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise OSError(22, "seek before the start")  # as real files do; zipfile relies on it
        self.position = base + offset
        return self.position

    def wanted(self, size: int | None) -> int:
        """How many bytes `read(size)` gives from here."""
        rest = max(0, self.size - self.position)
        return rest if size is None or size < 0 else min(size, rest)
