"""A writer that kills itself (SIGKILL) at the n-th of its steps: before or after a statement or a put.

`python -m tests.services.extractor.transparency.killed N KEY` with ORCHARD_* of the stores. Ends with 0 where
it has written all before its n-th step.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from services.extractor.transparency.keeper import LogKeeper
from shared.process.resources import Resources
from shared.settings import load_settings
from shared.stores import open_stores
from shared.tlog.signing import read_signer

_left = int(sys.argv[1])


def _step() -> None:
    global _left
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def stepping(call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def stepped(*args: Any, **kwargs: Any) -> Any:
        _step()
        try:
            return await call(*args, **kwargs)
        finally:
            _step()

    return stepped


async def main() -> None:
    async with Resources() as resources:
        stores = await open_stores(resources, load_settings(), max_connections=2)
        keeper = LogKeeper(stores, read_signer(sys.argv[2]))
        rows, writer = keeper._writer._rows, keeper._writer
        for name in ("append", "bundled", "publish"):
            setattr(rows, name, stepping(getattr(rows, name)))
        stores.objects.put_bytes = stepping(stores.objects.put_bytes)  # type: ignore[method-assign]
        writer._remember = stepping(writer._remember)
        await keeper.run()


asyncio.run(main())
