"""A bundle on its way out: what the policy says meanwhile counts before each object, for files and pages."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from services.gateway.builds.bundling import Bundle, Bundling
from shared.bundles.form import note_text, write_head
from shared.bundles.manifest import encode_manifest
from shared.errors import Blocked
from shared.errors.passing import StoreUnavailable
from shared.models import StoredFile
from shared.policy.policy import Policy
from shared.policy.rules import Block
from shared.process.resources import Resources
from shared.protocols.resource import Resource
from shared.queue.events import Event
from shared.queue.jobs import AnyJob
from shared.settings import load_settings
from shared.stores import open_object_store, open_threads
from tests.support.bundles import ID, Made, made, replaced
from tests.support.ports import MemoryWorld

NOBODY, ANOTHER = Policy(()), Policy((Block(1, "it steals", "pypi", "demo"),))


class Judge:
    """Admits what was judged."""

    def admits(self, resource: Resource, facts: StoredFile) -> bool:
        return facts.judged != ""


class Desk:
    """A gateway that has one build, and an extractor that makes its head."""

    def __init__(self, stores: Any) -> None:
        self.world = MemoryWorld()
        self.world.ports = msgspec.structs.replace(self.world.ports, judge=Judge())
        self.access = SimpleNamespace(policy=NOBODY)
        self.stores = stores
        self.bundling = Bundling(stores, self.world.ports, cast(Any, self.access))

    async def bundle(self, of: Made) -> Bundle:
        manifest = encode_manifest(of.manifest)
        head = write_head(of.signer.note(note_text(of.signer.key, manifest)), manifest)
        key = f"builds/{hashlib.sha256(head).hexdigest()}"
        for each, data in {**of.contents, key: head}.items():
            await self.stores.bare_objects.put_bytes(each, data)

        async def run(job: AnyJob) -> Event:
            return Event(job.id, "done", 1, value=key.encode())

        self.world.misses.run = run
        return await self.bundling.bundle(ID, set(), 0, "", lambda file: None)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    settings = load_settings({"ORCHARD_DATA_DIR": str(tmp_path)})
    async with Resources() as resources:
        threads = open_threads(resources, settings)
        objects = await open_object_store(settings, threads, resources=resources)
        yield Desk(SimpleNamespace(threads=threads, bare_objects=objects))


async def test_unchanged__goes_out_whole(desk: Desk) -> None:
    of = made({"demo-1.0-py3-none-any.whl": b"a wheel"}, {"simple/demo": b"{}"})
    bundle = await desk.bundle(of)
    data = b"".join([chunk async for chunk in bundle.body])
    assert (data, bundle.size_bytes) == (of.data, len(of.data))


@pytest.mark.parametrize("what", ["page", "file"])
async def test_blocked_while_it_goes_out__ends_before_the_next_object(desk: Desk, what: str) -> None:
    pages = {"simple/demo": b"{}"} if what == "page" else {}
    files = {"demo-1.0-py3-none-any.whl": b"a wheel"} if what == "file" else {}
    body = (await desk.bundle(made(files, pages))).body
    assert await anext(body)
    desk.access.policy = ANOTHER
    with pytest.raises(Blocked, match="it steals"):
        await anext(body)


async def test_rules_that_nobody_has_judged_it_by__no_bundle_whatever_was_recorded(desk: Desk) -> None:
    of = made({"demo-1.0-py3-none-any.whl": b"a wheel"})
    stored = of.manifest.listed.files[0].stored
    assert stored is not None
    kept = msgspec.structs.replace(stored, judged="as it was sealed")
    desk.access.policy = Policy((Block(1, "it steals", "pypi", "other"),))
    with pytest.raises(StoreUnavailable, match="nobody could tell yet"):
        await desk.bundle(of.changed(lambda it: replaced(it, "files", 0, stored=kept)))
