"""A protocol's check of a finished file: what it may raise, and what its reading may cost."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import AsyncIterator, Callable
from typing import BinaryIO

import pytest

from services.fetcher.files.sealing import check
from shared.errors import UpstreamInvalid
from shared.models import FileEntry
from shared.process.threads import BoundedThreads
from shared.protocols import protocol_named
from shared.protocols.pypi import PyPIProxy
from shared.protocols.pypi.metadata import PyPIArchive

ENTRY = FileEntry("x-1.0.zip", "http://packages.example.com/x-1.0.zip", "id")
Look = Callable[[BinaryIO], object]


@pytest.fixture
async def threads() -> AsyncIterator[BoundedThreads]:
    made = BoundedThreads(1)
    yield made
    await made.aclose()


class Checks(PyPIArchive):
    def __init__(self, look: Look) -> None:
        self._look = look

    def checks_file(self, entry: FileEntry) -> bool:
        return True

    def check_file(self, entry: FileEntry, file: BinaryIO, size_bytes: int) -> None:
        self._look(file)


class Checking(PyPIProxy):
    def __init__(self, look: Look) -> None:
        self._checks = Checks(look)

    @property
    def archive(self) -> PyPIArchive:  # type: ignore[override]
        return self._checks


async def run(threads: BoundedThreads, look: Look, content: bytes, seconds: float = 20.0) -> None:
    await check(Checking(look), ENTRY, lambda: io.BytesIO(content), len(content), threads, seconds=seconds)


async def test_file_is_seekable_and_is_a_zip_file_s(threads: BoundedThreads) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/a", b"content")
    seen: list[bytes] = []
    await run(threads, lambda file: seen.append(zipfile.ZipFile(file).read("x/a")), made.getvalue())
    assert seen == [b"content"]


@pytest.mark.parametrize("look", [zipfile.ZipFile, lambda file: gzip.GzipFile(fileobj=file).read()])
async def test_what_a_parser_raises__is_the_upstream_s_fault(threads: BoundedThreads, look: Look) -> None:
    with pytest.raises(UpstreamInvalid, match="cannot be read"):
        await run(threads, look, b"neither of them")


async def test_reading_for_too_long__ends(threads: BoundedThreads) -> None:
    def for_ever(file: BinaryIO) -> None:
        while file.read(1):
            file.seek(0)

    with pytest.raises(UpstreamInvalid, match="too long"):
        await run(threads, for_ever, b"x", seconds=0.05)


async def test_own_lack__is_not_called_the_upstream_s(threads: BoundedThreads) -> None:
    def disk_fails(file: BinaryIO) -> None:
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        await run(threads, disk_fails, b"x")


async def test_protocol_that_checks_nothing__the_file_is_not_even_opened(threads: BoundedThreads) -> None:
    def never() -> BinaryIO:
        raise AssertionError

    await check(protocol_named("pypi"), ENTRY, never, 1, threads)
