"""The messages between the extractor and its sandboxed children, over pipes.

Each frame is a 4-byte big-endian length and one MessagePack value. A child asks only for ranges
and answers only with a result: whatever else it sends gets it killed.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, Literal

import msgspec

from shared.models import BuildNeeds, Extraction

LENGTH = struct.Struct(">I")
MAX_FRAME_BYTES = 32 * 1024 * 1024  # 10,000 dependencies and 2 MiB of metadata stay far below


class Task(msgspec.Struct, frozen=True, tag="task"):
    """Read this artifact. `handed`: its descriptor waits on the other socket; else ask for ranges. `wanted`:
    its metadata, or what it must be built with, or the lock that it brings."""

    protocol: str
    filename: str
    sha256: str
    size_bytes: int
    handed: bool
    wanted: Literal["metadata", "build", "lock"] = "metadata"


class RangeWanted(msgspec.Struct, frozen=True, tag="range_wanted"):
    """The child waits for these bytes of the object."""

    start: int
    length: int


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The child has imported everything and limited itself, as far as its kernel can."""

    landlock_abi: int = 0  # 0: whatever the service's user may read, it may read too
    seccomp: bool = False
    own_network: bool = False  # a namespace without any network

    @property
    def lacks(self) -> tuple[str, ...]:
        """Confinements that the child's kernel lacks; () if none."""
        held = {"landlock": self.landlock_abi, "seccomp": self.seccomp, "own network": self.own_network}
        return tuple(name for name, holds in held.items() if not holds)


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The result. The child takes further tasks unless it is `exhausted`."""

    extraction: Extraction
    raw_metadata: bytes | None
    bytes_read: int
    peak_rss_bytes: int
    exhausted: bool = False
    needs: BuildNeeds | None = None  # where "build" was wanted


FromChild = Ready | RangeWanted | Done

encode = msgspec.msgpack.Encoder().encode
_from_child = msgspec.msgpack.Decoder(FromChild)
_task = msgspec.msgpack.Decoder(Task)


def decode_from_child(body: bytes) -> FromChild:
    """A message of a child. Raises `msgspec.MsgspecError` for anything else."""
    message: FromChild = _from_child.decode(body)
    return message


def decode_task(body: bytes) -> Task:
    """The task for a child."""
    return _task.decode(body)


def framed(value: msgspec.Struct) -> bytes:
    """The value as a frame."""
    body = encode(value)
    return LENGTH.pack(len(body)) + body


def read_frame(stream: BinaryIO) -> bytes:
    """The next frame's body, blocking. Raises `EOFError` when the other side is gone."""
    head = _read_exactly(stream, LENGTH.size)
    return _read_exactly(stream, LENGTH.unpack(head)[0])


def _read_exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise EOFError
    return data
