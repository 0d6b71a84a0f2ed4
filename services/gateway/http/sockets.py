"""The server's connections from outside: how many the limit of open files carries, how they flow, ending one.

No request may fail for want of a descriptor. The server itself has no call to stop a file that it sends by
itself, nor does it tell how far it is.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from shared.errors import ConfigurationError
from shared.telemetry.logs import get_logger

log = get_logger()

MOST_CONNECTIONS = 2048  # at once; further ones wait to be accepted
RESERVED = 256  # stores, logs, threads, objects that are being read
PER_CONNECTION = 3  # the client's socket, the file that it is sent, a way to a fetcher or to S3
LEAST_CONNECTIONS = 64


def connections_for(wanted: int) -> int:
    """Raises the soft limit as far as it goes, and says how many connections may be open at once: at most
    `wanted`; the rest waits to be accepted. Raises `ConfigurationError` where the limit carries too few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = 2**20 if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    fitting = (limit - RESERVED) // PER_CONNECTION
    needed = RESERVED + PER_CONNECTION * wanted
    if fitting < LEAST_CONNECTIONS:
        raise ConfigurationError(
            f"only {limit} files may be open (ulimit -Hn): a gateway needs {needed}, and does not start with "
            f"fewer than {RESERVED + PER_CONNECTION * LEAST_CONNECTIONS}"
        )
    if fitting < wanted:
        log.warning(
            "few_descriptors",
            limit=limit,
            connections=fitting,
            hint=f"raise the hard limit of open files (ulimit -Hn) to {needed} for {wanted} connections",
        )
    return min(wanted, fitting)


Peer = tuple[str, str]
"""Address and port of a client, as the server writes them."""

_NO_LINGER = struct.pack("ii", 1, 0)  # what waits to be sent is thrown away, and the peer sees a reset
_DESCRIPTORS = Path("/proc/self/fd")  # Linux

# struct tcp_info (linux/tcp.h): state, unacked, bytes_acked and bytes_received, notsent_bytes.
_INFO_BYTES = 160
_STATE, _UNACKED, _ACKED, _NOT_SENT = (struct.Struct(each) for each in ("=B", "=I", "=QQ", "=I"))
_UNACKED_AT, _ACKED_AT, _NOT_SENT_AT = 24, 120, 144
_NOTSENT_LOWAT = 25  # tcp(7), inherited by accepted connections
_ESTABLISHED = 1
_OPEN = frozenset((_ESTABLISHED, 8))  # CLOSE_WAIT


class Flow(NamedTuple):
    """One TCP connection, as the kernel describes it."""

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
    """Limit the bytes that each new connection to this process's `port` may hold unsent, beside those on
    their way; returns the number of listening sockets. Without it the kernel takes megabytes for each client
    that does not read, and then all of TCP's memory."""
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


def is_open(peer: Peer) -> bool:
    """Whether a connection with this peer is open in both directions. Looks through all descriptors (Linux;
    elsewhere nobody can say, and it is False)."""
    for descriptor in _descriptors():
        with _copy(descriptor) as connection:
            ends = _ends(connection) if connection is not None else None
            if connection is None or ends is None or ends[0] != peer:
                continue
            with contextlib.suppress(OSError):
                info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
                return bool(_STATE.unpack_from(info)[0] == _ESTABLISHED)
    return False


def end_connection(descriptor: int, peer: Peer, *, linger: bool = True) -> bool:
    """End the connection with `peer` after what was written; False if the descriptor is another's by now."""
    with _copy(descriptor) as connection:
        if connection is None or (ends := _ends(connection)) is None or ends[0] != peer:
            return False
        with contextlib.suppress(OSError):
            if not linger:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            connection.shutdown(socket.SHUT_RDWR)
        return True


def reset_connection(descriptor: int, peer: Peer) -> bool:
    """Break off the connection with `peer`; False if the descriptor is another's by now."""
    return end_connection(descriptor, peer, linger=False)


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
