"""From a stored file to rows, cache and back-filled metadata, on real stores and a real child."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import os
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Sequence

import msgspec
import pytest

from services.extractor.extraction import job as extract_dependencies
from shared.artifacts.repository import ArtifactRepository
from shared.cache.keys import Category
from shared.errors.passing import DatabaseUnavailable
from shared.models import (
    Extraction,
    FileName,
    StandingFile,
    StoredDocument,
    StoredFile,
    UpstreamSource,
)
from shared.objects.files import FileObjectStore
from shared.objects.port import artifact_key, document_key
from shared.protocols import protocol_named
from shared.queue.context import JobContext
from shared.queue.jobs import ExtractDependencies
from tests.services.extractor.conftest import House, context
from tests.support.builders import (
    BuiltFile,
    build_sdist,
    build_tar_gz,
    build_wheel,
    build_zip,
    core_metadata,
    page_json,
    wheel_file,
)
from tests.support.rows import row_of

MIB = 1024 * 1024
REQUIRES = [
    "click >= 8.1",
    "colorama; sys_platform == 'win32'",
    "Foo.Bar[x,y] < 3 ; extra == 'full'",
]
SOURCE = UpstreamSource(id=1, protocol="pypi", name="upstream", url="http://upstream.example/simple/")


async def keep_page(house: House, files: list[BuiltFile], project: str = "demo") -> None:
    """The project's index as a fetcher leaves it."""
    protocol = protocol_named("pypi")
    identity = protocol.grammar.index_identity(project)
    document = protocol.documents.read_index(
        identity,
        SOURCE,
        url=f"http://upstream.example/simple/{project}/",
        content_type="application/vnd.pypi.simple.v1+json",
        body=page_json(project, files),
    )
    key = document_key(hashlib.sha256(document.body).hexdigest())
    await house.store.put_bytes(key, document.body)
    row = StoredDocument("pypi", identity, 1, 1, key, 1_700_000_000.0)
    assert await house.artifacts.store_document(row, project=project)


async def metadata_facts(house: House, job: ExtractDependencies) -> StoredFile | None:
    return await house.artifacts.get_cached_url_with_artifact(
        FileName("pypi", job.project, job.file_id, f"{job.filename}.metadata")
    )


async def renders(house: House, *runs: JobContext) -> int:
    """How many renderings are queued once these runs have ended."""
    for run in runs:
        for job, seconds in run.following:
            await house.queue.enqueue(job, defer_seconds=seconds)
    depth = (await house.queue.depths())["index"]
    return depth.ready + depth.deferred


async def test_wheel__read__dependencies_metadata_cache_and_render(house: House) -> None:
    wheel = wheel_file(
        "demo", "1.0", requires=REQUIRES, extras=["full"], requires_python=">=3.9", offer_metadata=False
    )
    await keep_page(house, [wheel])
    job = await house.keep(wheel.filename, wheel.content)
    handler = await house.handler()
    run = context(job)
    await handler(run, job)

    found = await house.extraction(job)
    assert (found.state, found.name, found.version) == ("extracted", "demo", "1.0")
    assert (found.requires_python, found.extras) == (">=3.9", ("full",))
    click, colorama, foo = found.dependencies
    assert (click.name, click.specifier, click.optional) == ("click", ">=8.1", False)
    assert colorama.marker == 'sys_platform == "win32"'
    assert (foo.name, set(foo.extras), foo.optional) == ("foo-bar", {"x", "y"}, True)
    cached = await house.cache.get(Category.ARTIFACT_DEPENDENCIES, "pypi", job.sha256)
    assert cached is not None and msgspec.msgpack.decode(cached, type=Extraction) == found

    metadata = core_metadata("demo", "1.0", requires=REQUIRES, extras=["full"], requires_python=">=3.9")
    facts = await metadata_facts(house, job)
    assert facts is not None
    assert facts.sha256 == hashlib.sha256(metadata).hexdigest()
    assert await house.store.read(facts.object_key) == metadata
    metadata_file = FileName("pypi", "demo", job.file_id, f"{job.filename}.metadata")
    assert (await house.cache.read_facts(metadata_file)) == facts
    state = await house.artifacts.index_state("pypi", "simple/demo", "demo", ())
    (sealed,) = [file for file in state.sealed if file.filename == job.filename]
    assert sealed.metadata_sha256 == facts.sha256
    assert await renders(house, run) == 1


async def test_wheels_of_one_project__several_at_once__one_render(house: House) -> None:
    handler = await house.handler()
    jobs = []
    for number in range(5):
        jobs.append(await house.keep(f"demo-{number}.0-py3-none-any.whl", build_wheel("demo", f"{number}.0")))
    runs = [context(job) for job in jobs]
    await asyncio.gather(*(handler(run, job) for run, job in zip(runs, jobs, strict=True)))
    assert [(await house.extraction(job)).state for job in jobs] == ["extracted"] * 5
    assert await renders(house, *runs) == 1


@pytest.mark.parametrize("remote", [False, True])
async def test_wheel_of_64_mb__read__less_than_1_mb_of_it(
    house: House, remote: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = build_wheel("demo", "1.0", size_bytes=64 * MIB, requires=REQUIRES)
    job = await house.keep("demo-1.0-py3-none-any.whl", content)
    read = 0
    if remote:  # as from another machine: all bytes come through the parent, and are counted there
        real = FileObjectStore.read

        async def counted(
            self: FileObjectStore, key: str, start: int = 0, length: int | None = None
        ) -> bytes:
            nonlocal read
            data = await real(self, key, start, length)
            read += len(data)
            return data

        monkeypatch.setattr(FileObjectStore, "local_path", lambda *_: None)
        monkeypatch.setattr(FileObjectStore, "read", counted)
    await house.handler()
    assert house.sandbox is not None
    outcome = await house.sandbox.extract(
        protocol="pypi",
        filename=job.filename,
        sha256=job.sha256,
        key=artifact_key(job.sha256),
        size_bytes=len(content),
    )
    assert outcome.extraction.state == "extracted"
    assert outcome.bytes_read < MIB
    assert read == (outcome.bytes_read if remote else 0)


async def test_wheel_with_50_dependencies__stored__one_statement_for_all(house: House) -> None:
    requires = [f"package-{number} >= {number}" for number in range(50)]
    job = await house.keep("demo-1.0-py3-none-any.whl", build_wheel("demo", "1.0", requires=requires))
    handler = await house.handler()
    before = house.database.statements
    await handler(context(job), job)
    # what stands of the file, its metadata and the index; pin the metadata; the licence, and what was judged
    # without it; 50 dependencies
    assert house.database.statements - before == 5
    assert len((await house.extraction(job)).dependencies) == 50


async def test_job__second_run__reads_and_writes_nothing(house: House) -> None:
    job = await house.keep("demo-1.0-py3-none-any.whl", build_wheel("demo", "1.0"))
    handler = await house.handler()
    await handler(context(job), job)
    await house.store.delete(artifact_key(job.sha256))  # a second reading would fail
    again = context(job)
    await handler(again, job)
    assert (await house.extraction(job)).state == "extracted"
    assert not again.following


async def test_job__another_run_did_not_end__its_rendering_follows_from_this_one(house: House) -> None:
    job = await house.keep("demo-1.0-py3-none-any.whl", build_wheel("demo", "1.0"))
    handler = await house.handler()
    await handler(context(job), job)
    run = context(job, taken_over=True)
    await handler(run, job)
    assert await renders(house, run) == 1


async def test_job__database_away_after_metadata__rendering_follows_once_it_is_back(house: House) -> None:
    wheel = wheel_file("demo", "1.0", requires=REQUIRES, offer_metadata=False)
    job = await house.keep(wheel.filename, wheel.content)
    away = [DatabaseUnavailable("away")]

    class Away(ArtifactRepository):
        async def batch_upsert_dependencies(self, extractions: Sequence[Extraction]) -> list[bool]:
            if away:
                raise away.pop()
            return await super().batch_upsert_dependencies(extractions)

    run = context(job)
    await (await house.handler(artifacts=Away(house.database)))(run, job)
    assert (await house.extraction(job)).state == "extracted"
    assert await renders(house, run) == 1


async def test_job__cut_after_metadata__finished_by_the_next_run(house: House) -> None:
    wheel = wheel_file("demo", "1.0", requires=REQUIRES)
    job = await house.keep(wheel.filename, wheel.content)

    class Cut(ArtifactRepository):
        async def batch_upsert_dependencies(self, extractions: object) -> list[bool]:
            raise asyncio.CancelledError

    cut = await house.handler(artifacts=Cut(house.database))
    task = asyncio.create_task(cut(context(job), job))
    await asyncio.wait([task])
    assert (await house.extraction(job)).state == "pending"
    assert await metadata_facts(house, job) is not None
    handler = await house.handler()
    run = context(job, taken_over=True)
    await handler(run, job)
    assert (await house.extraction(job)).state == "extracted"
    assert await renders(house, run) == 1


async def test_job__no_such_row__ends_quietly(house: House) -> None:
    job = ExtractDependencies(
        protocol="pypi", project="demo", file_id="a" * 64, filename="x-1-py3-none-any.whl", sha256="a" * 64
    )
    await (await house.handler())(context(job), job)


async def test_database__away_for_a_moment__job_waits_it_out(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extract_dependencies, "RETRY_DELAYS_SECONDS", (0.01, 0.01, 0.01))

    class Flaky(ArtifactRepository):
        failures = 2

        async def standing_file(self, file: FileName, *names: str) -> StandingFile | None:
            if self.failures:
                self.failures -= 1
                raise DatabaseUnavailable("away")
            return await super().standing_file(file, *names)

    job = await house.keep("demo-1.0-py3-none-any.whl", build_wheel("demo", "1.0"))
    flaky = Flaky(house.database)
    await (await house.handler(artifacts=flaky))(context(job), job)
    assert (await house.extraction(job)).state == "extracted"
    flaky.failures = 100
    with pytest.raises(DatabaseUnavailable):
        await (await house.handler(artifacts=flaky))(context(job), job)


async def test_object_lost__job_fails_as_passing__artifact_stays_pending(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shared.errors.passing import ObjectMissing

    monkeypatch.setattr(extract_dependencies, "RETRY_DELAYS_SECONDS", ())
    job = await house.keep("demo-1.0-py3-none-any.whl", build_wheel("demo", "1.0"))
    await house.store.delete(artifact_key(job.sha256))
    with pytest.raises(ObjectMissing):
        await (await house.handler())(context(job), job)
    assert (await house.extraction(job)).state == "pending"


# --- metadata that the upstream advertises -------------------------------------------------------


async def test_metadata__upstream_advertises_the_same__sealed_without_a_render(house: House) -> None:
    wheel = wheel_file("demo", "1.0", requires=REQUIRES)
    await keep_page(house, [wheel])
    job = await house.keep(wheel.filename, wheel.content)
    run = context(job)
    await (await house.handler())(run, job)
    facts = await metadata_facts(house, job)
    assert facts is not None and facts.sha256 == wheel.metadata_sha256
    assert await renders(house, run) == 0


async def test_metadata__upstream_advertises_other__left_to_be_fetched_and_noted(house: House) -> None:
    wheel = wheel_file("demo", "1.0", requires=REQUIRES)
    other = BuiltFile(wheel.filename, wheel.content, metadata=b"Metadata-Version: 2.1\nName: other\n")
    await keep_page(house, [other])
    job = await house.keep(wheel.filename, wheel.content)
    run = context(job)
    await (await house.handler())(run, job)
    assert await metadata_facts(house, job) is None
    assert await renders(house, run) == 0
    assert (await house.extraction(job)).state == "extracted"
    rows = await house.database.fetch("SELECT kind, project, filename FROM events")
    assert [tuple(row) for row in rows] == [("metadata_differs", "demo", wheel.filename)]


async def read_before(house: House, job: ExtractDependencies, content: bytes) -> None:
    """Metadata as a fetcher read it before the file was stored."""
    await house.store.put_bytes(artifact_key(hashlib.sha256(content).hexdigest()), content)
    name = FileName("pypi", "demo", job.file_id, f"{job.filename}.metadata")
    facts = await house.artifacts.get_or_create_artifact(row_of(name, content, role="provisional"))
    assert facts.provisional and await house.cache.write_facts(name, facts)


OTHER = b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"


@pytest.mark.parametrize("differs", [False, True])
async def test_metadata__read_before_the_file__compared_pinned_and_shown_by_its_digest(
    house: House, differs: bool
) -> None:
    wheel = wheel_file("demo", "1.0", requires=REQUIRES)
    assert wheel.metadata is not None
    await keep_page(house, [BuiltFile(wheel.filename, wheel.content)])
    job = await house.keep(wheel.filename, wheel.content)
    await read_before(house, job, OTHER if differs else wheel.metadata)
    before = await metadata_facts(house, job)
    run = context(job)
    await (await house.handler())(run, job)
    facts = await metadata_facts(house, job)
    assert facts is not None and (facts.sha256, facts.provisional) == (wheel.metadata_sha256, False)
    assert await renders(house, run) == 1
    rows = await house.database.fetch("SELECT kind FROM events")
    assert [row["kind"] for row in rows] == (["metadata_differs"] if differs else [])
    # Whoever has read the row before cannot bring it back.
    name = msgspec.structs.replace(job.file, filename=f"{job.filename}.metadata")
    assert before is not None and not await house.cache.write_facts(name, before)


async def test_metadata__read_before_a_file_that_holds_none__taken_away(house: House) -> None:
    job = await house.keep("demo-1.0-py3-none-any.whl", build_wheel("liar", "1.0"))
    await read_before(house, job, OTHER)
    await (await house.handler())(context(job), job)
    assert await metadata_facts(house, job) is None
    assert [row["kind"] for row in await house.database.fetch("SELECT kind FROM events")] == [
        "metadata_differs"
    ]
    assert (await house.extraction(job)).state == "unextractable"


async def test_metadata__read_before_and_upstream_advertises_other_by_now__left_to_be_fetched(
    house: House,
) -> None:
    wheel = wheel_file("demo", "1.0", requires=REQUIRES)
    await keep_page(house, [BuiltFile(wheel.filename, wheel.content, metadata=b"Name: other\n")])
    job = await house.keep(wheel.filename, wheel.content)
    assert wheel.metadata is not None
    await read_before(house, job, wheel.metadata)
    await (await house.handler())(context(job), job)
    assert await metadata_facts(house, job) is None


async def test_metadata__row_stands_already__it_stays(house: House) -> None:
    wheel = wheel_file("demo", "1.0", requires=REQUIRES)
    job = await house.keep(wheel.filename, wheel.content)
    first = b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"
    sha256 = hashlib.sha256(first).hexdigest()
    await house.artifacts.seal_metadata(
        row_of(FileName("pypi", "demo", job.file_id, f"{job.filename}.metadata"), first, role="metadata")
    )
    await (await house.handler())(context(job), job)
    facts = await metadata_facts(house, job)
    assert facts is not None and facts.sha256 == sha256
    assert (await house.extraction(job)).state == "extracted"


async def test_metadata__same_wheel_under_a_second_url__sealed_there_too(house: House) -> None:
    content = build_wheel("demo", "1.0")
    handler = await house.handler()
    first = await house.keep("demo-1.0-py3-none-any.whl", content)
    second = await house.keep("demo-1.0-py3-none-any.whl", content, file_id="b" * 64)
    for job in (first, second):
        await handler(context(job), job)
        assert await metadata_facts(house, job) is not None


# --- files that do not say, lie or bomb ----------------------------------------------------------


@pytest.mark.parametrize(
    ("filename", "content", "state"),
    [
        ("demo-1.0.tar.gz", build_sdist("demo", "1.0", requires=REQUIRES), "extracted"),
        ("demo-1.0.tar.gz", build_sdist("demo", "1.0", metadata_version="2.1"), "unknown"),
        ("demo-1.0.tar.gz", build_sdist("demo", "1.0", dynamic=["Requires-Dist"]), "unknown"),
        ("demo-1.0-py2.7.egg", b"an egg", "unknown"),
        ("demo-1.0.whl.asc", b"a signature", "unknown"),
    ],
)
async def test_file_without_wheel_metadata__state_says_what_is_known(
    house: House, filename: str, content: bytes, state: str
) -> None:
    job = await house.keep(filename, content)
    await (await house.handler())(context(job), job)
    found = await house.extraction(job)
    assert found.state == state
    assert len(found.dependencies) == (3 if state == "extracted" else 0)
    assert bool(found.reason) == (state != "extracted")
    assert await metadata_facts(house, job) is None


def zip_bomb() -> bytes:
    return build_wheel("demo", "1.0", metadata=b"Metadata-Version: 2.1\n" + b" " * (100 * MIB))


def wheel_of_many_bombs() -> bytes:
    bomb = bytes(80 * MIB)
    return build_wheel("demo", "1.0", members={f"demo/{number}.bin": bomb for number in range(2)})


def lying_size() -> bytes:
    content = bytearray(build_wheel("demo", "1.0"))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = next(e.file_size for e in archive.infolist() if e.filename.endswith("/METADATA"))
    name = content.rindex(b"demo-1.0.dist-info/METADATA")
    struct.pack_into("<L", content, name - 46 + 24, size - 5)
    return bytes(content)


def bad_checksum() -> bytes:
    content = bytearray(build_wheel("demo", "1.0"))
    name = content.rindex(b"demo-1.0.dist-info/METADATA")
    content[name - 46 + 16] ^= 0xFF
    return bytes(content)


def pax_header_of_300_mb() -> bytes:
    header = tarfile.TarInfo("./PaxHeaders/x")
    header.type, header.size = b"x", 300 * MIB
    block = header.tobuf(tarfile.USTAR_FORMAT)
    return gzip.compress(block + b"314572800 comment=" + b"a" * (300 * MIB), compresslevel=1)


def endless_tar() -> bytes:
    return build_tar_gz({"demo-1.0/filler": bytes(256 * MIB), "demo-1.0/PKG-INFO": b"Name: demo\n"})


def duplicate_metadata() -> bytes:
    buffer = io.BytesIO(build_wheel("demo", "1.0"))
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "a") as archive:
        warnings.simplefilter("ignore")  # zipfile's own opinion of what we do
        archive.writestr("demo-1.0.dist-info/METADATA", b"Name: other\n")
    return buffer.getvalue()


def links_only() -> bytes:
    link = tarfile.TarInfo("demo-1.0/PKG-INFO")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return build_tar_gz({"demo-1.0/x": b""}, entries=[link])


HOSTILE = {
    "zip bomb in METADATA": ("demo-1.0-py3-none-any.whl", zip_bomb),
    "bombs beside METADATA": ("demo-1.0-py3-none-any.whl", wheel_of_many_bombs),
    "directory lies about a size": ("demo-1.0-py3-none-any.whl", lying_size),
    "wrong CRC": ("demo-1.0-py3-none-any.whl", bad_checksum),
    "login page": ("demo-1.0-py3-none-any.whl", lambda: b"<html>please log in</html>"),
    "empty": ("demo-1.0-py3-none-any.whl", lambda: b""),
    "cut": ("demo-1.0-py3-none-any.whl", lambda: build_wheel("demo", "1.0")[:-30]),
    "prefixed": ("demo-1.0-py3-none-any.whl", lambda: b"MZ" + build_wheel("demo", "1.0")),
    "two METADATA": ("demo-1.0-py3-none-any.whl", duplicate_metadata),
    "another project": ("demo-1.0-py3-none-any.whl", lambda: build_wheel("other", "1.0")),
    "no METADATA": ("demo-1.0-py3-none-any.whl", lambda: build_zip({"demo/__init__.py": b""})),
    "traversal": (
        "demo-1.0-py3-none-any.whl",
        lambda: build_zip({"../../demo-1.0.dist-info/METADATA": b"x"}),
    ),
    "300 MB pax header": ("demo-1.0.tar.gz", pax_header_of_300_mb),
    "256 MB before PKG-INFO": ("demo-1.0.tar.gz", endless_tar),
    "random bytes": ("demo-1.0.tar.gz", lambda: os.urandom(100_000)),
    "cut gzip": ("demo-1.0.tar.gz", lambda: build_sdist("demo", "1.0")[:-200]),
    "marker of 5,000 parentheses": (
        "demo-1.0-py3-none-any.whl",
        lambda: build_wheel(
            "demo", "1.0", requires=["x; " + "(" * 5000 + "python_version > '3'" + ")" * 5000]
        ),
    ),
    "20,000 dependencies": (
        "demo-1.0-py3-none-any.whl",
        lambda: build_wheel("demo", "1.0", requires=[f"p{number}" for number in range(20_000)]),
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_hostile_file__unextractable_with_a_reason__artifact_kept_and_extractor_goes_on(
    house: House, what: str
) -> None:
    filename, build = HOSTILE[what]
    content = build()
    job = await house.keep(filename, content)
    handler = await house.handler()
    await handler(context(job), job)
    found = await house.extraction(job)
    assert found.state == "unextractable", found
    assert found.reason and not found.reason.startswith(("crash", "invalid:"))
    assert found.dependencies == ()
    assert await house.cache.get(Category.ARTIFACT_DEPENDENCIES, "pypi", job.sha256) is None
    assert await house.store.read(artifact_key(job.sha256)) == content
    sound = await house.keep("sound-1.0-py3-none-any.whl", build_wheel("sound", "1.0"), project="sound")
    await handler(context(sound), sound)
    assert (await house.extraction(sound)).state == "extracted"


async def test_links_named_pkg_info__not_followed(house: House) -> None:
    job = await house.keep("demo-1.0.tar.gz", links_only())
    await (await house.handler())(context(job), job)
    found = await house.extraction(job)
    assert found.state in ("unknown", "unextractable")
    assert found.dependencies == ()


async def test_100_artifacts__one_row_cannot_be_stored__it_fails_alone(house: House) -> None:
    handler = await house.handler(protocols="tests.support.hostile_protocols:PROTOCOLS")
    jobs = []
    for number in range(100):
        what = "nul-name" if number == 37 else "fine"
        jobs.append(await house.keep(f"{what}.{number}", f"content {number}".encode()))
    await asyncio.gather(*(handler(context(job), job) for job in jobs))
    found = [await house.extraction(job) for job in jobs]
    assert [one.state for one in found].count("extracted") == 99
    assert (found[37].state, found[37].reason) == (
        "unextractable",
        "invalid: what it declares cannot be stored",
    )
