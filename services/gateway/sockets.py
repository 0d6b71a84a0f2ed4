"""The server's connections from outside: how they flow, and ending one. The server itself cannot be told to
stop a file that it sends by itself, nor does it tell how far it is."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

Peer = tuple[str, str]
"""Address and port of a client, as the server writes them."""

_NO_LINGER = struct.pack("ii", 1, 0)  # what waits to be sent is thrown away, and the peer sees a reset
_DESCRIPTORS = Path("/proc/self/fd")  # Linux

# struct tcp_info (linux/tcp.h): state, unacked, bytes_acked and bytes_received, notsent_bytes.
_INFO_BYTES = 160
_STATE, _UNACKED, _ACKED, _NOT_SENT = (struct.Struct(each) for each in ("=B", "=I", "=QQ", "=I"))
_UNACKED_AT, _ACKED_AT, _NOT_SENT_AT = 24, 120, 144
_NOTSENT_LOWAT = 25  # tcp(7), inherited by accepted connections
_OPEN = frozenset((1, 8))  # ESTABLISHED, CLOSE_WAIT


class Flow(NamedTuple):
    """One TCP connection, as the kernel tells of it."""

    descriptor: int
    waits: bool  # bytes that were written have not been taken by the peer
    taken: int  # bytes that the peer has taken since the connection's begin
    received: int  # bytes that it has sent


def flows() -> Iterator[Flow]:
    """This process's open TCP connections, of any port (Linux; nothing elsewhere). Two microseconds each."""
    for descriptor in _descriptors():
        with contextlib.suppress(OSError):
            looked_at = socket.socket(socket.AF_INET, socket.SOCK_STREAM, fileno=descriptor)
            try:
                info = looked_at.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
            finally:
                looked_at.detach()  # it is the server's
            if len(info) < _NOT_SENT_AT + 4 or _STATE.unpack_from(info)[0] not in _OPEN:
                continue
            taken, received = _ACKED.unpack_from(info, _ACKED_AT)
            waits = _UNACKED.unpack_from(info, _UNACKED_AT)[0] or _NOT_SENT.unpack_from(info, _NOT_SENT_AT)[0]
            yield Flow(descriptor, bool(waits), taken, received)


def bound_unsent(port: int, size_bytes: int) -> int:
    """Let each connection to this process's `port` that begins from now on hold so many bytes that were not
    sent yet, beside those on their way; how many listening sockets there were. Without it the kernel takes
    megabytes for each client that does not read, and then all of TCP's memory."""
    bounded = 0
    for descriptor in _descriptors():
        with _copy(descriptor) as listener, contextlib.suppress(OSError):
            if listener is None or not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                continue
            if listener.family in (socket.AF_INET, socket.AF_INET6) and listener.getsockname()[1] == port:
                listener.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, size_bytes)
                bounded += 1
    return bounded


def ends_of(descriptor: int) -> tuple[Peer, int] | None:
    """The peer of a TCP connection and our port; None for anything else."""
    with _copy(descriptor) as connection:
        return _ends(connection) if connection is not None else None


def reset_connection(descriptor: int, peer: Peer) -> bool:
    """Break off the connection with `peer`; False if the descriptor is another's by now."""
    with _copy(descriptor) as connection:
        if connection is None or (ends := _ends(connection)) is None or ends[0] != peer:
            return False
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            connection.shutdown(socket.SHUT_RDWR)
        return True


def reset_connections(peers: set[Peer]) -> int:
    """Break off this process's TCP connections with these peers; how many there were.

    Looks through all descriptors (Linux): some milliseconds for thousands, for rare events.
    """
    ended = 0
    for descriptor in _descriptors():
        ends = ends_of(descriptor)
        if ends is not None and ends[0] in peers:
            ended += reset_connection(descriptor, ends[0])
    return ended


def _descriptors() -> list[int]:
    if not _DESCRIPTORS.is_dir():
        return []
    with os.scandir(_DESCRIPTORS) as entries:
        return [int(each.name) for each in entries]


@contextlib.contextmanager
def _copy(descriptor: int) -> Iterator[socket.socket | None]:
    """A copy to work on, so that the server may close its own meanwhile; None if that is no socket."""
    try:
        copy = os.dup(descriptor)
    except OSError:
        yield None
        return
    try:
        connection = socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        yield None
        return
    with connection:
        yield connection


def _ends(connection: socket.socket) -> tuple[Peer, int] | None:
    if connection.family not in (socket.AF_INET, socket.AF_INET6) or connection.type != socket.SOCK_STREAM:
        return None
    with contextlib.suppress(OSError):
        host, port = connection.getpeername()[:2]
        return (host, str(port)), int(connection.getsockname()[1])
    return None
