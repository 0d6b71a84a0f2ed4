"""A licence that comes to be known while another file of its version is judged, before that is in its row."""

from __future__ import annotations

import asyncio

import pytest

from services.fetcher.files.sealing import Sealer
from services.gateway.api.admin.policy_rows import PolicyRows
from services.gateway.api.admin.repository import Actor
from shared.artifacts.repository import ArtifactRepository
from shared.errors import Blocked, OrchardError
from shared.models import CachedUrl, FileName, Standing, StoredFile
from shared.policy.named import FORMAT, Licences, NamedRule
from tests.services.fetcher.conftest import WHEEL, Fetcher

OTHER = "demo-1.0-py2-none-any.whl"
ONE, TWO = b"PK\x03\x04 one", b"PK\x03\x04 two"
DENY = NamedRule("no copyleft", licences=Licences(deny=("AGPL-3.0-only",)), since=1.0, format=FORMAT)


async def begin(fetcher: Fetcher) -> StoredFile:
    """Facts of the file that tells the licence."""
    fetcher.upstream.add_project("demo", {WHEEL: ONE, OTHER: TWO})
    rows = PolicyRows(fetcher.database)
    await rows.replace(Actor("me"), [DENY], await rows.standing([DENY]))
    with pytest.raises(OrchardError):
        await asyncio.wait_for(fetcher.render("other"), 10)  # a rendering looks at the rows first
    await fetcher.index()
    return await fetcher.artifact(ONE)


async def note(fetcher: Fetcher, told_by: StoredFile) -> None:
    """As an extractor does; what is judged already it lets be judged anew."""
    licence = "UPDATE artifacts SET licence = 'AGPL-3.0-only' WHERE sha256 = $1"
    await fetcher.database.execute(licence, bytes.fromhex(told_by.sha256))
    await fetcher.database.execute("UPDATE cached_urls SET judged = '' WHERE judged <> ''")


async def refused(fetcher: Fetcher) -> None:
    job = fetcher.artifact_job(TWO, OTHER)
    with pytest.raises(Blocked, match="its licence is AGPL"):
        await fetcher.ended(job)
    row, kept = await fetcher.artifacts.get_cached_url_with_artifact(job.file), await fetcher.facts(job)
    assert row is not None and "its licence is AGPL" in row.judged
    assert kept is None or kept.judged == row.judged


async def test_noted_before_a_new_file_has_its_row__refuses_it(
    fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_by = await begin(fetcher)
    seal = Sealer.seal

    async def noted_before(self: Sealer, url: CachedUrl) -> StoredFile:
        await note(fetcher, told_by)
        return await seal(self, url)

    monkeypatch.setattr(Sealer, "seal", noted_before)
    await refused(fetcher)


async def test_noted_before_a_stored_file_that_was_judged_has_that_in_its_row__refuses_it(
    fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_by = await begin(fetcher)
    await fetcher.artifact(TWO, OTHER)
    await fetcher.database.execute("UPDATE cached_urls SET judged = ''")
    write = ArtifactRepository.note_standing

    async def noted_before(self: ArtifactRepository, file: FileName, standing: Standing) -> None:
        await note(fetcher, told_by)
        await write(self, file, standing)

    monkeypatch.setattr(ArtifactRepository, "note_standing", noted_before)
    await refused(fetcher)
