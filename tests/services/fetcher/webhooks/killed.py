"""A fetcher's delivery that kills itself (SIGKILL) after an event was sent, before that is noted.

`python -m tests.services.fetcher.webhooks.killed` with ORCHARD_* of the stores.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

from services.fetcher.http.manager import HttpClientManager
from services.fetcher.webhooks.rows import WebhookRows
from services.fetcher.webhooks.sending import Outcome
from shared.process.resources import Resources
from shared.settings import load_settings
from shared.sources.box import SealingBox
from shared.stores import open_stores
from tests.services.fetcher.webhooks.conftest import Post


async def main() -> None:
    settings = load_settings()
    async with Resources() as resources:
        stores = await open_stores(resources, settings)
        http = await resources.open("http", HttpClientManager.from_settings(settings))
        keeper = Post(stores, http, SealingBox.from_texts(settings.secret_key), []).keeper()
        send = keeper._sender.send

        async def send_and_die(*given: Any) -> Outcome:
            assert (await send(*given)).ok
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError("it lives")

        keeper._sender.send = send_and_die  # type: ignore[method-assign]
        (webhook,) = await WebhookRows(stores.database).claim(keeper._holder, 60.0, 8)
        await keeper.deliver(webhook)


asyncio.run(main())
