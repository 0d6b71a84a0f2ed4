"""A stored object as a seekable file that reads only the ranges asked for, and counts them.

A wheel's METADATA is found by its end: the zip directory, then one member. Of a 64 MB wheel that
is a few blocks. Works over anything that reads a range: a local file, or the store.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shared.process.bounded import Bounded
from shared.protocols.reading.seekable import Seekable

BLOCK_BYTES = 64 * 1024
READ_AHEAD_BLOCKS = 16  # at most, while a reader goes forward (a tar archive is read from its start)
KEPT_BLOCKS = 64  # 4 MiB


class ByteBudgetExceeded(OSError):
    """The reader wanted more of the object than it is allowed."""


class SeekableObject(Seekable):
    """`read_range(start, length)` gives exactly the bytes asked for (all within the object).

    `bytes_read` counts what was fetched, read-ahead included. Raises `ByteBudgetExceeded` instead
    of fetching more than `budget_bytes`.
    """

    def __init__(
        self,
        read_range: Callable[[int, int], bytes],
        size_bytes: int,
        *,
        budget_bytes: int,
    ) -> None:
        super().__init__(size_bytes)
        self._read_range = read_range
        self._budget_bytes = budget_bytes
        self._blocks = Bounded[int, bytes](KEPT_BLOCKS)
        self._next_block = -1  # the block after the last one fetched: fetching it is going forward
        self._ahead = 1
        self.bytes_read = 0

    def readinto(self, buffer: Any) -> int:
        """Fills the buffer unless the object ends: archive readers expect full reads."""
        view = memoryview(buffer).cast("B")
        wanted = self.wanted(len(view))
        filled = 0
        while filled < wanted:
            index, offset = divmod(self.position, BLOCK_BYTES)
            part = self._block(index)[offset : offset + wanted - filled]
            view[filled : filled + len(part)] = part
            filled += len(part)
            self.position += len(part)
        return filled

    def _block(self, index: int) -> bytes:
        found = self._blocks.use(index)
        if found is not None:
            return found
        self._ahead = min(self._ahead * 2, READ_AHEAD_BLOCKS) if index == self._next_block else 1
        start = index * BLOCK_BYTES
        length = min(self._ahead * BLOCK_BYTES, self.size - start)
        if self.bytes_read + length > self._budget_bytes:
            raise ByteBudgetExceeded(27, f"more than {self._budget_bytes} bytes would be read")
        data = self._read_range(start, length)
        if len(data) != length:
            raise OSError(5, "the object is shorter than its row says")
        self.bytes_read += length
        for number in range(0, length, BLOCK_BYTES):
            self._blocks.put(index + number // BLOCK_BYTES, data[number : number + BLOCK_BYTES])
        self._next_block = index + -(-length // BLOCK_BYTES)
        return data[:BLOCK_BYTES]
