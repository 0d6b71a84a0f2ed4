"""Files that an upstream compressed on the way although asked not to (`Content-Encoding: gzip`).

Clients decode a declared coding. Many servers, though, declare one for a file that merely is compressed
(Apache's AddEncoding), and its digest is that of the bytes as sent. The file's own kind shows which of the
two it is; a digest decides in the end.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

from shared.errors import UpstreamInvalid
from shared.errors.passing import UpstreamUnavailable

_GZIP = b"\x1f\x8b"
_STEP = 1 << 20
_ENOUGH_BYTES = 16  # of the decoded start, to tell a file's kind
_MOST_PEEKED_BYTES = 64 << 10


class Uncoded:
    """A body that may have been compressed on the way. `peek` before `chunks`. `magics`: how such a file
    may begin, () where that is not known."""

    def __init__(self, chunks: AsyncIterator[bytes], filename: str, magics: tuple[bytes, ...]) -> None:
        self._chunks = chunks
        self._filename = filename
        self._magics = magics
        self._start = b""
        self.decodes = False

    async def peek(self) -> bool:
        """Whether the body was compressed on the way; reads its first piece or pieces."""
        async for chunk in self._chunks:
            self._start += chunk
            decoded = _decoded_start(self._start)
            if decoded is None or len(decoded) >= _ENOUGH_BYTES or len(self._start) > _MOST_PEEKED_BYTES:
                break
        decoded = _decoded_start(self._start)
        self.decodes = decoded is not None and (not self._magics or decoded.startswith(self._magics))
        return self.decodes

    async def chunks(self) -> AsyncIterator[bytes]:
        """The file's own bytes. Raises `UpstreamInvalid`, `UpstreamUnavailable` for one that was cut."""
        inflater = zlib.decompressobj(wbits=31)
        async for chunk in self._all():
            if not self.decodes:
                yield chunk
                continue
            while chunk:
                if inflater.eof:  # RFC 1952 §2.2: members may follow one another; garbage is ignored
                    if not chunk.startswith(_GZIP):
                        break
                    inflater = zlib.decompressobj(wbits=31)
                try:
                    piece = inflater.decompress(chunk, _STEP)
                except zlib.error:
                    raise UpstreamInvalid(f"{self._filename}: its content-coding is broken") from None
                chunk = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
                if piece:
                    yield piece
        if self.decodes and not inflater.eof:
            raise UpstreamUnavailable(f"{self._filename} was cut")

    async def _all(self) -> AsyncIterator[bytes]:
        if self._start:
            yield self._start
        async for chunk in self._chunks:
            yield chunk


def _decoded_start(start: bytes) -> bytes | None:
    """The first bytes without their gzip; None if they are no gzip."""
    if len(start) > 1 and not start.startswith(_GZIP):
        return None
    try:
        return zlib.decompressobj(wbits=31).decompress(start, _ENOUGH_BYTES)
    except zlib.error:
        return None
