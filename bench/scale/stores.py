"""The stores of a large installation: started on a folder that is kept, filled where they are empty."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import msgspec

from bench.scale.rows import FORMAT, PROTOCOLS, Sizes, digest, make_rows, package
from services.extractor.housekeeping.evictor import LEAST_BYTES
from services.standalone.postgres import EmbeddedPostgres
from services.standalone.redis_server import EmbeddedRedis
from shared.cache.keys import Category, head_key, revision_key, variant_key
from shared.models import FORMAT as VALUE_FORMAT
from shared.models import MOST_REVISION, IndexHead, VariantInfo
from shared.objects.port import ARTIFACTS, VARIANTS
from shared.process.resources import Resources
from shared.settings import load_settings
from shared.stores import Stores, open_stores
from shared.telemetry.logs import configure_logging

OLD_SECONDS = 30 * 86_400.0
BODY = b"[]" * 100
HEADS = 2000  # written at once
FAR = 4_000_000_000.0  # unix seconds: pages that stay fresh
VARIANT = "json.gzip"
CACHE_MEGABYTES = 6000


class Installation(msgspec.Struct, frozen=True):
    """Running stores: how much they hold, and where they are."""

    sizes: Sizes
    folder: Path
    postgres: EmbeddedPostgres
    cache: EmbeddedRedis
    queue: EmbeddedRedis

    def settings(self) -> dict[str, str]:
        """ORCHARD_* for services over these stores."""
        return {
            "ORCHARD_DATA_DIR": str(self.folder),
            "ORCHARD_DATABASE_URL": self.postgres.url(),
            "ORCHARD_REDIS_HOST": "127.0.0.1",
            "ORCHARD_REDIS_PORT": str(self.cache.port),
            "ORCHARD_REDIS_PASSWORD": self.cache.password,
            "ORCHARD_QUEUE_REDIS_HOST": "127.0.0.1",
            "ORCHARD_QUEUE_REDIS_PORT": str(self.queue.port),
            "ORCHARD_QUEUE_REDIS_PASSWORD": self.queue.password,
        }

    @asynccontextmanager
    async def stores(self) -> AsyncIterator[Stores]:
        """As an extractor opens them."""
        async with Resources() as resources:
            yield await open_stores(resources, load_settings(self.settings()), max_connections=8)


@contextmanager
def installation(base: Path, rows: int) -> Iterator[Installation]:
    """An installation of so many artifacts below `base`; made the first time, kept for the next."""
    sizes, folder = Sizes(rows), base / str(rows)
    note = folder / "made.json"
    wanted = json.dumps({"format": FORMAT, "rows": rows})
    if folder.exists() and (not note.exists() or note.read_text() != wanted):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as running:
        postgres = running.enter_context(EmbeddedPostgres(folder / "postgres", max_connections=200))
        cache = running.enter_context(
            EmbeddedRedis(folder / "redis-cache", "cache", cache_megabytes=CACHE_MEGABYTES)
        )
        queue = running.enter_context(EmbeddedRedis(folder / "redis-queue", "queue"))
        ours = Installation(sizes, folder, postgres, cache, queue)
        configure_logging("bench", load_settings({**ours.settings(), "ORCHARD_LOG_LEVEL": "warning"}))
        asyncio.run(make_rows(postgres.url(), sizes))
        if not note.exists():
            make_objects(folder / "objects", sizes)
            note.write_text(wanted)
        asyncio.run(fill_cache(ours))
        yield ours


def make_objects(root: Path, sizes: Sizes) -> None:
    """Large bodies of pages, and stored files just large enough for eviction (holes: they take no room)."""
    old = time.time() - OLD_SECONDS
    for kind, letter, step in ((VARIANTS, "v", 1), (ARTIFACTS, "a", 2)):
        for part in range(256):
            (root / kind / f"{part:02x}").mkdir(parents=True, exist_ok=True)
        for number in range(sizes.bodies):
            name = digest(letter, number * step).hex()
            path = root / kind / name[:2] / name
            with path.open("wb") as file:
                if kind == ARTIFACTS:
                    file.truncate(LEAST_BYTES + 1)
            os.utime(path, (old, old))


async def fill_cache(ours: Installation) -> None:
    """A head for each package, one small body beside it; every tenth names a large one."""
    async with ours.stores() as stores:
        raw = stores.cache_redis.raw
        values: dict[str, bytes] = {revision_key(protocol): b"1" for protocol in PROTOCOLS}
        for number in range(ours.sizes.packages):
            protocol, name = package(number)
            key = head_key(protocol, f"simple/{name}")
            values[key] = head_of(number)
            values[variant_key(key, VARIANT)] = (1).to_bytes(8, "big") + BODY
            if len(values) >= HEADS:
                await raw.mset(values)
                values = {}
        await raw.mset(values or {f"orchard:{Category.PACKAGE_VERSIONS.value}:none": b""})


def head_of(number: int) -> bytes:
    """The head of a package's page."""
    variants = {VARIANT: VariantInfo(f'"{number}"', len(BODY), "application/vnd.pypi.simple.v1+json")}
    if number % 10 == 0:
        key = f"{VARIANTS}/{digest('v', number // 10).hex()}"
        variants["json.identity"] = VariantInfo(f'"{number}l"', 300_000, "application/json", key)
    head = IndexHead(
        format=VALUE_FORMAT, status=200, generation=1, source_revision=MOST_REVISION // 2, source_id=1,
        fetched_at=1.0, fresh_until=FAR, document_key=f"documents/{digest('d', number).hex()}",
        variants=variants, bodies_generation=1,
    )  # fmt: skip
    return msgspec.msgpack.encode(head)
