"""Reading dependencies out of files: what they say, what they hide, what they try."""

from __future__ import annotations

import gzip
import io
import random
import struct
import tarfile
import warnings
import zipfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import UpstreamInvalid
from shared.models import Dependency, Extraction, FileEntry
from shared.protocols.pypi import archive
from shared.protocols.reading import tarballs
from tests.shared.protocols.pypi.support import PYPI
from tests.support.builders import build_sdist, build_tar_gz, build_wheel, build_zip, core_metadata

WHEEL = "demo_pkg-1.0-py3-none-any.whl"
INFO = "demo_pkg-1.0.dist-info"
SDIST = "demo_pkg-1.0.tar.gz"


class RangeFile(io.BytesIO):
    """A file that counts its reads, as an object store would see them."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.reads: list[int] = []

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.reads.append(len(data))
        return data


def extract(filename: str, content: bytes) -> tuple[Extraction, bytes | None]:
    return PYPI.archive.extract(filename, io.BytesIO(content), len(content))


def reason(filename: str, content: bytes, state: str = "unextractable") -> str:
    extraction, metadata = extract(filename, content)
    assert extraction.state == state
    assert extraction.dependencies == ()
    assert extraction.reason and extraction.reason.isprintable()
    assert metadata is None
    return extraction.reason


def wheel(**keywords: Any) -> bytes:
    return build_wheel("demo-pkg", "1.0", **keywords)


def zipped(*members: tuple[str, bytes], **keywords: Any) -> bytes:
    """A zip with members in order, names repeated if so given."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, **keywords) as target:
        warnings.simplefilter("ignore")
        for name, data in members:
            target.writestr(name, data)
    return buffer.getvalue()


# --- what they say --------------------------------------------------------------------------------


def test_wheel__metadata__gives_dependencies_in_order_and_the_bytes() -> None:
    metadata = core_metadata(
        "Demo.Pkg",
        "1.0",
        requires=[
            'Flask[async]>=2,<4; python_version > "3.7"',
            "PySocks; extra == 'socks'",
            "a @ https://x.example/a.whl",
        ],
        extras=["Socks_5"],
        requires_python=">=3.8",
    )
    extraction, raw = extract(WHEEL, wheel(metadata=metadata))
    assert raw == metadata
    assert extraction == Extraction(
        sha256="",
        state="extracted",
        name="demo-pkg",
        version="1.0",
        requires_python=">=3.8",
        extras=("socks-5",),
        licence="",
        dependencies=(
            Dependency(
                0,
                'Flask[async]>=2,<4; python_version > "3.7"',
                "flask",
                "<4,>=2",
                'python_version > "3.7"',
                ("async",),
            ),
            Dependency(1, "PySocks; extra == 'socks'", "pysocks", "", 'extra == "socks"', optional=True),
            Dependency(2, "a @ https://x.example/a.whl", "a"),
        ),
    )


def test_dependency__marker_with_extra_only_in_a_string__is_not_optional() -> None:
    metadata = core_metadata("demo-pkg", "1.0", requires=['a; sys_platform == "extra"'])
    assert not extract(WHEEL, wheel(metadata=metadata))[0].dependencies[0].optional


def test_wheel__of_20_mb__is_read_in_few_and_small_pieces() -> None:
    content = wheel(size_bytes=20_000_000)
    file = RangeFile(content)
    assert PYPI.archive.extract(WHEEL, file, len(content))[0].state == "extracted"
    assert len(file.reads) <= 3
    assert sum(file.reads) <= 128 << 10


def test_wheel__metadata_at_the_front__costs_one_more_piece() -> None:
    metadata = core_metadata("demo-pkg", "1.0")
    padding = random.Random(1).randbytes(5_000_000)
    content = build_zip({f"{INFO}/METADATA": metadata, "x.bin": padding})
    file = RangeFile(content)
    assert PYPI.archive.extract(WHEEL, file, len(content))[1] == metadata
    assert len(file.reads) <= 3


@pytest.mark.parametrize(
    ("metadata", "state"),
    [
        (core_metadata("demo-pkg", "1.0").replace(b"\n", b"\r\n"), "extracted"),
        (b"\xef\xbb\xbf" + core_metadata("demo-pkg", "1.0"), "extracted"),
        (core_metadata("demo-pkg", "1.0") + b"caf\xe9 in Latin-1", "extracted"),
        (b"Author: caf\xe9\n" + core_metadata("demo-pkg", "1.0"), "extracted"),
        (core_metadata("DEMO__pkg", "1.0.0"), "extracted"),
        (core_metadata("other", "1.0"), "unextractable"),
        (core_metadata("demo-pkg", "2.0"), "unextractable"),
        (core_metadata("demo-pkg", "one"), "unextractable"),
        (b"Version: 1.0\n\n", "unextractable"),
        (b"Name: demo-pkg\n\n", "unextractable"),
        (b"", "unextractable"),
        (b"\x00\xff" * 1000, "unextractable"),
        (b"Name: demo-pkg\nName: other\nVersion: 1.0\n\n", "unextractable"),
        (b"Name: demo-pkg\nVersion: 1.0\nRequires-Dist: a\x00b\n\n", "unextractable"),
        (b"Name: demo-pkg\nVersion: 1.0\nRequires-Dist: caf\xe9\n\n", "unextractable"),
        (b"Name: demo-pkg\nVersion: 1.0\nRequires-Python: >=3\x00\n\n", "unextractable"),
        (core_metadata("demo-pkg", "1.0", requires=["a"] * 10_001), "unextractable"),
        (core_metadata("demo-pkg", "1.0", requires=["not a requirement"]), "unextractable"),
        (core_metadata("demo-pkg", "1.0", requires=["a; " + "(" * 5000]), "unextractable"),
        (
            core_metadata("demo-pkg", "1.0", requires=["a; " + "(" * 5000 + "os_name=='x'" + ")" * 5000]),
            "unextractable",
        ),
    ],
)
def test_metadata__as_found_in_the_wild_or_hostile__has_this_state(metadata: bytes, state: str) -> None:
    extraction, _ = extract(WHEEL, wheel(metadata=metadata))
    assert extraction.state == state
    assert (extraction.reason == "") is (state == "extracted")
    assert len(extraction.reason) < 300


@pytest.mark.parametrize(
    ("field", "state"),
    [
        (b"Requires-Dist: a" + b">=1," * 400_000 + b">=1\n", "unextractable"),
        (b"Requires-Dist: a\n" + b" b\n" * 400_000, "unextractable"),
        (b"Requires-Python: " + b">=3," * 400_000 + b">=3\n", "unextractable"),
        (b"Provides-Extra: " + b"-" * 1_000_000 + b"x\n", "unextractable"),
        (b"Requires-Dist: a\n" * 120_000, "unextractable"),
        (b"".join(b"X-%d: 1\n" % number for number in range(150_000)), "extracted"),
    ],
)
def test_metadata__built_to_cost_quadratic_time__is_bounded_before_parsing(field: bytes, state: str) -> None:
    metadata = b"Metadata-Version: 2.2\nName: demo-pkg\nVersion: 1.0\n" + field + b"\n"
    assert extract(WHEEL, wheel(metadata=metadata))[0].state == state


def test_wheel__with_one_invalid_requirement__still_gives_its_metadata_for_back_fill() -> None:
    metadata = core_metadata("demo-pkg", "1.0", requires=["fine", "old (>dev)"])
    extraction, raw = extract(WHEEL, wheel(metadata=metadata))
    assert (extraction.state, extraction.dependencies) == ("unextractable", ())
    assert "dependency 1" in extraction.reason
    assert raw == metadata


def test_sdist__of_metadata_2_2__gives_dependencies_and_nothing_to_back_fill() -> None:
    extraction, raw = extract(SDIST, build_sdist("demo-pkg", "1.0", requires=["a", "b"], size_bytes=100_000))
    assert [dependency.name for dependency in extraction.dependencies] == ["a", "b"]
    assert (extraction.state, extraction.name, extraction.version) == ("extracted", "demo-pkg", "1.0")
    assert raw is None


def test_sdist__as_zip_or_tgz__is_read_alike() -> None:
    content = build_sdist("demo-pkg", "1.0", requires=["a"])
    assert extract("demo_pkg-1.0.tgz", content)[0] == extract(SDIST, content)[0]
    metadata = core_metadata("demo-pkg", "1.0", requires=["a"])
    assert (
        extract("demo_pkg-1.0.zip", build_zip({"demo-pkg-1.0/PKG-INFO": metadata}))[0]
        == extract(SDIST, content)[0]
    )


@pytest.mark.parametrize(
    "content",
    [
        build_sdist("demo-pkg", "1.0", metadata_version="2.1"),
        build_sdist("demo-pkg", "1.0", metadata_version="1.0"),
        build_sdist("demo-pkg", "1.0", metadata_version="x"),
        build_sdist("demo-pkg", "1.0", dynamic=["Requires-Dist"]),
        build_sdist("demo-pkg", "1.0", dynamic=["license", "provides-extra"]),
        build_tar_gz({"demo_pkg-1.0/setup.py": b""}),
        build_tar_gz({"demo_pkg-1.0/src/PKG-INFO": core_metadata("demo-pkg", "1.0")}),
        build_tar_gz({}),
    ],
)
def test_sdist__that_does_not_say__is_unknown(content: bytes) -> None:
    reason(SDIST, content, "unknown")


@pytest.mark.parametrize("filename", ["demo-1.0.egg", "demo-1.0.exe", "demo-1.0.tar.bz2", "demo-1.0.rpm"])
def test_other_files__say_nothing__and_are_not_read(filename: str) -> None:
    assert not PYPI.archive.is_extractable(filename)
    assert PYPI.archive.metadata_filename(filename) is None
    reason(filename, b"", "unknown")


def test_metadata_filename__of_wheels_only() -> None:
    assert PYPI.archive.metadata_filename(WHEEL) == f"{WHEEL}.metadata"
    assert PYPI.archive.metadata_filename(SDIST) is None
    assert PYPI.archive.parent_of(f"{WHEEL}.metadata") == WHEEL
    assert PYPI.archive.parent_of(f"{SDIST}.metadata") is PYPI.archive.parent_of(WHEEL) is None
    assert all(PYPI.archive.is_extractable(name) for name in (WHEEL, SDIST, "a-1.zip", "a-1.tgz"))


METADATA_ENTRY = FileEntry(f"{WHEEL}.metadata", "", "")


@pytest.mark.parametrize("start", [b"Metadata-Version: 2.1\nName: a\n", b"\nname : a\r\n", b"X: 1\nName: a"])
def test_metadata__without_hash_but_with_a_field_of_it__taken(start: bytes) -> None:
    PYPI.archive.check_file(METADATA_ENTRY, io.BytesIO(start), len(start))


@pytest.mark.parametrize("start", [b"", b"<html>Sign in", b'{"Name": "a"}', b"not here", b"\0Name"])
def test_metadata__without_hash_or_any_of_its_fields__refused(start: bytes) -> None:
    with pytest.raises(UpstreamInvalid):
        PYPI.archive.check_file(METADATA_ENTRY, io.BytesIO(start), len(start))


def test_files__with_a_hash_or_that_are_no_metadata__are_not_looked_at() -> None:
    assert PYPI.archive.checks_file(METADATA_ENTRY)
    assert not PYPI.archive.checks_file(FileEntry(METADATA_ENTRY.filename, "", "", {"md5": "0" * 32}))
    assert not PYPI.archive.checks_file(FileEntry(WHEEL, "", ""))


@pytest.mark.parametrize(
    "filename", ["demo.whl", "demo-1.0-py3.whl", "-1.0-py3-none-any.whl", "demo-x y-py3-none-any.whl"]
)
def test_wheel__with_an_impossible_name__is_unextractable(filename: str) -> None:
    reason(filename, wheel())


# --- hostile zips -----------------------------------------------------------------------------------


def test_zip__not_one__is_refused() -> None:
    for content in (b"", b"PK", b"<html>", b"PK\x05\x06", b"\0" * 100_000, wheel()[:-30], wheel()[:200]):
        reason(WHEEL, content)


def test_zip__bytes_around_it__are_refused() -> None:
    assert "before" in reason(WHEEL, b"#!/bin/sh\n" + wheel())
    assert "after" in reason(WHEEL, wheel() + b"\0")
    assert reason(WHEEL, wheel() + wheel())


def test_zip__prefix_that_its_offsets_count__is_refused() -> None:
    buffer = io.BytesIO(b"#!/bin/sh\n")
    with zipfile.ZipFile(buffer, "a") as target:
        target.writestr(f"{INFO}/METADATA", core_metadata("demo-pkg", "1.0"))
    assert "before" in reason(WHEEL, buffer.getvalue())


def test_zip__bytes_between_directory_and_end__are_refused() -> None:
    content = wheel()
    end = content.rindex(b"PK\x05\x06")
    assert "inside" in reason(WHEEL, content[:end] + b"gap" + content[end:])


def test_zip__empty__is_refused() -> None:
    reason(WHEEL, build_zip({}))


def test_zip__member_twice__is_refused() -> None:
    good, evil = core_metadata("demo-pkg", "1.0"), core_metadata("demo-pkg", "1.0", requires=["evil"])
    assert "twice" in reason(WHEEL, zipped((f"{INFO}/METADATA", good), (f"{INFO}/METADATA", evil)))


@pytest.mark.parametrize(
    "names",
    [
        (f"{INFO}/METADATA", "other-1.0.dist-info/METADATA"),
        ("other-1.0.dist-info/METADATA",),
        (f"nested/{INFO}/METADATA",),
        (f"../{INFO}/METADATA",),
        (f"/{INFO}/METADATA",),
        ("METADATA",),
        (".dist-info/METADATA",),
        (f"{INFO}/METADATA/",),
    ],
)
def test_zip__metadata_elsewhere_or_several__is_refused(names: tuple[str, ...]) -> None:
    reason(WHEEL, zipped(*((name, core_metadata("demo-pkg", "1.0")) for name in names)))


def test_zip__bad_crc__is_refused() -> None:
    content = bytearray(zipped((f"{INFO}/METADATA", core_metadata("demo-pkg", "1.0"))))
    directory = content.rindex(b"PK\x01\x02")
    content[14] ^= 1  # both headers agree on a checksum that is wrong
    content[directory + 16] ^= 1
    reason(WHEEL, bytes(content))


@pytest.mark.parametrize("offset", [8, 14, 18, 22, 31])
def test_zip__local_header_unlike_the_directory__is_refused(offset: int) -> None:
    content = bytearray(zipped((f"{INFO}/METADATA", core_metadata("demo-pkg", "1.0"))))
    content[offset] ^= 1
    assert "local header" in reason(WHEEL, bytes(content))


def test_zip__lying_about_the_size__is_refused_without_inflating_it() -> None:
    content = bytearray(zipped((f"{INFO}/METADATA", b"\0" * 50_000_000)))
    directory = content.rindex(b"PK\x01\x02")
    for at in (22, directory + 24):
        content[at : at + 4] = struct.pack("<L", 100)
    reason(WHEEL, bytes(content))


def test_zip__metadata_over_2_mib__is_refused() -> None:
    big = core_metadata("demo-pkg", "1.0") + b"x" * archive.MAX_MEMBER_BYTES
    assert "larger" in reason(WHEEL, zipped((f"{INFO}/METADATA", big)))


def test_zip__bomb__is_refused() -> None:
    content = zipped((f"{INFO}/METADATA", core_metadata("demo-pkg", "1.0")), ("x", b"\0" * (65 << 20)))
    assert "50 times" in reason(WHEEL, content)


def test_zip__with_more_than_200_000_entries__is_refused_before_parsing() -> None:
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"x"
    directory = entry * (archive.MAX_ZIP_ENTRIES + 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(directory), 0, 0)
    assert "200000" in reason(WHEEL, directory + end)


def test_zip__directory_over_the_limit__is_refused_before_reading_it() -> None:
    size = archive.MAX_DIRECTORY_BYTES + 1
    content = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, size, 0, 0)
    assert "too large" in reason(WHEEL, content)


def test_zip__encrypted_or_in_a_rare_compression__is_refused() -> None:
    content = bytearray(zipped((f"{INFO}/METADATA", core_metadata("demo-pkg", "1.0"))))
    directory = content.rindex(b"PK\x01\x02")
    content[6] |= 1
    content[directory + 8] |= 1
    assert "encrypted" in reason(WHEEL, bytes(content))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_BZIP2) as target:
        target.writestr(f"{INFO}/METADATA", core_metadata("demo-pkg", "1.0"))
    assert "compressed" in reason(WHEEL, buffer.getvalue())


def test_zip__streamed_and_zip64__are_read() -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.content = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.content += data
            return len(data)

    metadata = core_metadata("demo-pkg", "1.0")
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as target:  # sizes follow the data
        target.writestr(f"{INFO}/METADATA", metadata)
    assert extract(WHEEL, bytes(pipe.content))[1] == metadata
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target,
        target.open(zipfile.ZipInfo(f"{INFO}/METADATA"), "w", force_zip64=True) as member,
    ):
        member.write(metadata)
    assert extract(WHEEL, buffer.getvalue())[1] == metadata


# --- hostile tars -----------------------------------------------------------------------------------


def test_tar__not_one__is_refused() -> None:
    for content in (b"", b"<html>", gzip.compress(b"x" * 2000), build_sdist("demo-pkg", "1.0")[:100]):
        reason(SDIST, content)


def test_tar__filler_before_pkg_info__is_cut_at_the_budget() -> None:
    content = build_tar_gz(
        {"demo_pkg-1.0/big": b"\0" * (tarballs.MAX_UNPACKED_BYTES + 1), "demo_pkg-1.0/PKG-INFO": b""}
    )
    assert "64 MiB" in reason(SDIST, content)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_tar__link_or_device_named_pkg_info__is_passed_over(kind: bytes) -> None:
    entry = tarfile.TarInfo("demo_pkg-1.0/PKG-INFO")
    entry.type, entry.linkname = kind, "/etc/passwd"
    real = core_metadata("demo-pkg", "1.0", requires=["a"])
    content = build_tar_gz({"demo_pkg-1.0/PKG-INFO": real}, entries=[entry])
    assert [item.name for item in extract(SDIST, content)[0].dependencies] == ["a"]
    reason(SDIST, build_tar_gz({}, entries=[entry]), "unknown")


@pytest.mark.parametrize("name", ["../PKG-INFO", "/PKG-INFO", "./PKG-INFO", "PKG-INFO", "a/../PKG-INFO"])
def test_tar__pkg_info_outside_the_top_folder__is_passed_over(name: str) -> None:
    reason(SDIST, build_tar_gz({name: core_metadata("demo-pkg", "1.0")}), "unknown")


def pax(records: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as target:
        entry = tarfile.TarInfo("demo_pkg-1.0/PKG-INFO")
        data = core_metadata("demo-pkg", "1.0")
        entry.size, entry.pax_headers = len(data), records
        target.addfile(entry, io.BytesIO(data))
    return gzip.compress(buffer.getvalue())


def test_tar__pax_headers__are_read_over_unless_huge_or_renaming() -> None:
    assert extract(SDIST, pax({"comment": "x" * 1000}))[0].state == "extracted"
    assert "too large" in reason(SDIST, pax({"comment": "x" * (2 << 20)}))
    assert "two names" in reason(SDIST, pax({"path": "elsewhere/PKG-INFO"}))


def test_tar__pkg_info_over_2_mib_or_lying__is_refused() -> None:
    big = core_metadata("demo-pkg", "1.0") + b"x" * (2 << 20)
    assert "larger" in reason(SDIST, build_tar_gz({"demo_pkg-1.0/PKG-INFO": big}))
    header = bytearray(tarfile.TarInfo("demo_pkg-1.0/PKG-INFO").tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = b"-0000000001\0"
    assert "checksum" in reason(SDIST, gzip.compress(bytes(header)))


@given(st.integers(0, 10_000), st.integers(0, 255), st.booleans())
def test_archives__with_any_byte_changed__never_raise(position: int, value: int, is_wheel: bool) -> None:
    filename, content = (WHEEL, _WHEEL) if is_wheel else (SDIST, _SDIST)
    changed = bytearray(content)
    changed[position % len(changed)] = value
    extraction, _ = extract(filename, bytes(changed))
    assert extraction.state in ("extracted", "unknown", "unextractable")


@given(st.integers(0, 10_000), st.booleans())
def test_archives__cut_anywhere__never_raise(length: int, is_wheel: bool) -> None:
    filename, content = (WHEEL, _WHEEL) if is_wheel else (SDIST, _SDIST)
    extraction, _ = extract(filename, content[: length % len(content)])
    assert extraction.state in ("extracted", "unextractable")


@given(st.text(max_size=80))
def test_requirement__any_text__never_raises(text: str) -> None:
    metadata = core_metadata("demo-pkg", "1.0").replace(
        b"\n\n", b"\nRequires-Dist: %s\n\n" % text.encode(errors="replace"), 1
    )
    extraction, _ = extract(WHEEL, wheel(metadata=metadata))
    values = (extraction.reason, *(str(item) for item in extraction.dependencies))
    assert not any("\0" in value for value in values)


_WHEEL = wheel(requires=["a>=1", "b; extra == 'x'"])
_SDIST = build_sdist("demo-pkg", "1.0", requires=["a"])
