"""What is written down of an answer is what was sent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from services.gateway.builds.recording import entry_of
from services.gateway.serving.ports import Reply
from shared.builds.entries import File
from shared.models import FileName
from shared.protocols.resource import Resource


class NoFacts:
    """Of files that are not stored yet."""

    async def cached(self, file: FileName) -> None:
        return None


async def test_address_that_means_other_files_at_other_times__the_one_that_was_sent() -> None:
    sent = FileName("maven", "org.example:app", "snapshot:of-then", "app-1-SNAPSHOT.jar")
    address = Resource(
        "maven", "artifact", "org/example/app/1-SNAPSHOT/app-1-SNAPSHOT.jar",
        project=sent.project, file_id="snapshot", filename=sent.filename, pointer="id/app",
    )  # fmt: skip
    ports: Any = SimpleNamespace(facts=NoFacts())  # and no index to ask again
    entry = await entry_of(address, Reply(200, "MISS", [], meant=sent), "", ports)
    assert isinstance(entry, File) and entry.file == sent
    assert await entry_of(address, Reply(200, "MISS", []), "", ports) is None
