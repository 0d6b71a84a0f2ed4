"""The stores that the settings name are opened, or a clear error names the setting."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import ConfigurationError
from shared.errors.passing import QueueUnavailable
from shared.process.resources import Resources
from shared.settings import load_settings
from shared.stores import open_database, open_object_store, open_redis_pair, open_stores, open_threads


async def test_stores__real_servers__open_and_close(store_settings: dict[str, str]) -> None:
    settings = load_settings(store_settings)
    async with Resources() as resources:
        stores = await open_stores(resources, settings, max_connections=2)
        await stores.cache_redis.ping()
        await stores.queue_redis.ping()
        await stores.database.ping()
        assert stores.database.max == 2
        assert stores.threads.max == settings.http_worker_threads
        await stores.objects.check()
        assert "objects" in repr(stores.bare_objects)


async def test_open_redis_pair__no_queue__queue_unavailable_after_the_wait() -> None:
    settings = load_settings({"ORCHARD_QUEUE_REDIS_HOST": "127.0.0.1", "ORCHARD_QUEUE_REDIS_PORT": "1"})
    async with Resources() as resources:
        with pytest.raises(QueueUnavailable):
            await open_redis_pair(resources, settings, wait_seconds=0.2)


async def test_open_object_store__folder_not_writable__names_the_variable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    settings = load_settings({"ORCHARD_DATA_DIR": str(tmp_path / "file")})
    async with Resources() as resources:
        threads = open_threads(resources, settings)
        with pytest.raises(ConfigurationError, match=r"^ORCHARD_DATA_DIR: "):
            await open_object_store(settings, threads)


async def test_open_database__no_address__names_the_variable() -> None:
    async with Resources() as resources:
        with pytest.raises(ConfigurationError, match=r"^ORCHARD_DATABASE_URL: "):
            await open_database(resources, load_settings({}))
