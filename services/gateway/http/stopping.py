"""How a gateway process ends: `Connection: close` on its responses, and no server outlives its parent."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

from services.gateway.http.responses import Send
from shared.telemetry.logs import get_logger

log = get_logger()


def closing(send: Send) -> Send:
    """`send`, with each response saying that it is the connection's last (RFC 9110, 7.6.1): a client that
    keeps connections then opens its next one elsewhere instead of losing a request here."""

    async def send_last(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"connection", b"close")]
        await send(message)

    return send_last


async def end_when_orphaned(parent: int, patience: float) -> None:
    """A worker whose server was killed would hold the port for ever: it ends itself."""
    while os.getppid() == parent:  # noqa: ASYNC110 - nothing tells of a parent's death
        await asyncio.sleep(1.0)
    log.warning("gateway_orphaned")
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(patience)
    os._exit(1)
