"""A stored object as a seekable file that reads only the ranges asked for, and counts them.

A wheel's METADATA is found by its end: the zip directory, then one member. Of a 64 MB wheel that
is a few blocks. Works over anything that reads a range: a local file, or the store.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

BLOCK_BYTES = 64 * 1024
READ_AHEAD_BLOCKS = 16  # at most, while a reader goes forward (a tar archive is read from its start)
KEPT_BLOCKS = 64  # 4 MiB


class ByteBudgetExceeded(OSError):
    """The reader wanted more of the object than it is allowed."""


class SeekableObject(io.RawIOBase):
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
        super().__init__()
        self._read_range = read_range
        self._size_bytes = size_bytes
        self._budget_bytes = budget_bytes
        self._position = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._next_block = -1  # the block after the last one fetched: fetching it is going forward
        self._ahead = 1
        self.bytes_read = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size_bytes}[whence]
        if base + offset < 0:
            raise OSError(22, "seek before the start")  # as files do: zipfile relies on OSError
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fills the buffer unless the object ends: archive readers expect full reads."""
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), max(0, self._size_bytes - self._position))
        filled = 0
        while filled < wanted:
            index, offset = divmod(self._position, BLOCK_BYTES)
            part = self._block(index)[offset : offset + wanted - filled]
            view[filled : filled + len(part)] = part
            filled += len(part)
            self._position += len(part)
        return filled

    def _block(self, index: int) -> bytes:
        found = self._blocks.get(index)
        if found is not None:
            self._blocks.move_to_end(index)
            return found
        self._ahead = min(self._ahead * 2, READ_AHEAD_BLOCKS) if index == self._next_block else 1
        start = index * BLOCK_BYTES
        length = min(self._ahead * BLOCK_BYTES, self._size_bytes - start)
        if self.bytes_read + length > self._budget_bytes:
            raise ByteBudgetExceeded(27, f"more than {self._budget_bytes} bytes would be read")
        data = self._read_range(start, length)
        if len(data) != length:
            raise OSError(5, "the object is shorter than its row says")
        self.bytes_read += length
        for number in range(0, length, BLOCK_BYTES):
            self._blocks[index + number // BLOCK_BYTES] = data[number : number + BLOCK_BYTES]
        self._next_block = index + -(-length // BLOCK_BYTES)
        while len(self._blocks) > KEPT_BLOCKS:
            self._blocks.popitem(last=False)
        return self._blocks[index]
