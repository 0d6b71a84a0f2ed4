"""Ending a connection from outside: the server cannot be told to stop a file that it sends by itself."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from pathlib import Path

Peer = tuple[str, str]
"""Address and port of a client, as the server writes them."""

_NO_LINGER = struct.pack("ii", 1, 0)  # what waits to be sent is thrown away, and the peer sees a reset


def reset_connections(peers: set[Peer]) -> int:
    """Break off this process's TCP connections with these peers; how many there were.

    Looks through all descriptors (Linux): some milliseconds for thousands, for rare events.
    """
    ended = 0
    descriptors = Path("/proc/self/fd")
    for each in list(descriptors.iterdir()) if descriptors.is_dir() else ():
        with contextlib.suppress(OSError):
            copy = os.dup(int(each.name))
            try:
                connection = socket.socket(fileno=copy)
            except OSError:  # no socket
                os.close(copy)
                continue
            with connection:
                is_tcp = connection.family in (socket.AF_INET, socket.AF_INET6)
                if not is_tcp or connection.type != socket.SOCK_STREAM:
                    continue
                host, port = connection.getpeername()[:2]
                if (host, str(port)) in peers:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
                    connection.shutdown(socket.SHUT_RDWR)
                    ended += 1
    return ended
