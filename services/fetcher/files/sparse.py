"""`SparseFile`: a file of which only some pieces are here; reading what is not raises what is missing."""

from __future__ import annotations

from shared.protocols.reading.seekable import Seekable


class Hole(Exception):
    """Bytes that are read and not here, from `start` to `end`. No `OSError`: readers of archives catch
    those."""

    def __init__(self, start: int, end: int) -> None:
        super().__init__(f"bytes {start}-{end - 1} are not here")
        self.start, self.end = start, end


class OtherBytes(Exception):
    """A piece that does not agree with those that are here: it is of another file."""


class SparseFile(Seekable):
    """Pieces of a file of `size` bytes, read-only and seekable."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.held_bytes = 0
        self._pieces: list[tuple[int, bytes]] = []  # (start, bytes), in order; they do not touch

    def add(self, start: int, data: bytes) -> None:
        """Put a piece in its place. Raises `OtherBytes` where it lies outside of the file, or differs from
        what is here."""
        if start < 0 or start + len(data) > self.size:
            raise OtherBytes("a piece reaches beyond the file")
        apart = []
        for begin, held in self._pieces:
            if begin > start + len(data) or begin + len(held) < start:
                apart.append((begin, held))
                continue
            first, last = max(begin, start), min(begin + len(held), start + len(data))
            if held[first - begin : last - begin] != data[first - start : last - start]:
                raise OtherBytes("a piece has other bytes than one that overlaps it")
            if begin < start:
                data, start = held[: start - begin] + data, begin
            if begin + len(held) > start + len(data):
                data += held[start + len(data) - begin :]
        self._pieces = sorted([*apart, (start, data)])
        self.held_bytes = sum(len(held) for _, held in self._pieces)

    def read(self, size: int | None = -1) -> bytes:
        """Raises `Hole`."""
        start, end = self.position, self.position + self.wanted(size)
        if start == end:
            return b""
        for begin, held in self._pieces:
            if begin <= start and end <= begin + len(held):
                self.position = end
                return held[start - begin : end - begin]
        raise Hole(*self._missing(start, end))

    def _missing(self, start: int, end: int) -> tuple[int, int]:
        """The range without what is here of its ends."""
        for begin, held in self._pieces:
            if begin <= start < begin + len(held):
                start = begin + len(held)
            if begin < end <= begin + len(held):
                end = begin
        return start, end
