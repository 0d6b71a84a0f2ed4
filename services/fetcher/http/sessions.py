"""TLS sessions of upstreams, resumed by the connections that follow: no certificates are sent and checked
again (RFC 8446 §2.2), and TLS 1.2 saves a round trip (RFC 5077).
"""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from typing import Any

MOST = 1024  # hosts; an index may name any number


class Sessions:
    """The last session of each host, of one context."""

    def __init__(self, context: ssl.SSLContext) -> None:
        """From now on the context's connections resume what `keep` was given."""
        self._wrap = context.wrap_bio
        self._kept: OrderedDict[str, ssl.SSLSession] = OrderedDict()
        context.wrap_bio = self._wrap_resuming  # type: ignore[method-assign]

    def _wrap_resuming(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: Any = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        wrapped = self._wrap(
            incoming, outgoing, server_side, server_hostname, session or self._kept.get(server_hostname)
        )
        wrapped.orchard_sessions = self  # type: ignore[attr-defined]
        return wrapped

    def keep(self, connection: ssl.SSLObject) -> None:
        """Keep what the server offered on this connection so far (TLS 1.3: after the handshake)."""
        host, session = connection.server_hostname, connection.session
        if host and session is not None and session.has_ticket:
            self._kept[host] = session
            self._kept.move_to_end(host)
            if len(self._kept) > MOST:
                self._kept.popitem(last=False)


def keep_session(transport: asyncio.BaseTransport | None) -> None:
    """Keep the TLS session of a connection on which an answer has come."""
    connection = transport.get_extra_info("ssl_object") if transport is not None else None
    sessions = getattr(connection, "orchard_sessions", None)
    if sessions is not None:
        connection.orchard_sessions = None  # type: ignore[union-attr]  # once: reading it costs 0.2 ms
        sessions.keep(connection)
