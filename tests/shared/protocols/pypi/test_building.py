"""What source distributions are built with: pyproject.toml of honest and of hostile archives."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc

import pytest

from shared.models import BuildNeeds
from shared.protocols.pypi.building import (
    DEFAULT,
    MAX_BYTES,
    MAX_REQUIREMENTS,
    build_needs,
    hook_requirements,
    is_sdist,
    needs_of,
)
from tests.support.builders import build_sdist, build_tar_gz, build_zip


def read(filename: str, content: bytes) -> BuildNeeds:
    return build_needs(filename, io.BytesIO(content), len(content))


@pytest.mark.parametrize(
    ("text", "requirements"),
    [
        ('[build-system]\nrequires = ["hatchling>=1", "x; python_version<\'3\'"]', None),
        ('[build-system]\nrequires = []\nbackend-path = ["."]\nbuild-backend = "own"', ()),
        ("[project]\nname = 'a'", DEFAULT),
        ("", DEFAULT),
        ("[build-system]", DEFAULT),
    ],
)
def test_pyproject__its_requirements_or_the_default(text: str, requirements: tuple[str, ...] | None) -> None:
    wanted = ("hatchling>=1", "x; python_version<'3'") if requirements is None else requirements
    assert needs_of(text.encode()) == BuildNeeds(wanted)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[build-system]\nbuild-backend = 'x'", "is no list of requirements"),
        (b"[build-system]\nrequires = 'setuptools'", "is no list of requirements"),
        (b"[build-system]\nrequires = ['a', 1]", "is no list of requirements"),
        (b"build-system = 3", "is no table"),
        (b"[build-system", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"a = " + b"[" * 5000, "cannot be read"),
        (b"n = " + b"9" * 5000, "cannot be read"),
        (b".".join([b"a"] * 40) + b" = 1", "more than 32 parts"),
        (b"#" * (MAX_BYTES + 1), "is larger than"),
        (
            b"[build-system]\nrequires = [" + b"'a'," * (MAX_REQUIREMENTS + 1) + b"]",
            "longer than what is read",
        ),
        (b"[build-system]\nrequires = ['" + b"a" * 20_000 + b"']", "longer than what is read"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else None,
)
def test_pyproject__broken_or_too_much__why_nobody_can_tell(content: bytes, said: str) -> None:
    needs = needs_of(content)
    assert (needs.requirements, said in needs.reason) == ((), True), needs


def test_tarball_and_zip__the_file_in_the_top_folder() -> None:
    system = b'[build-system]\nrequires = ["flit_core"]\n'
    files = {"a-1/PKG-INFO": b"", "a-1/sub/pyproject.toml": b"[broken", "a-1/pyproject.toml": system}
    for filename, content in (("a-1.tar.gz", build_tar_gz(files)), ("a-1.zip", build_zip(files))):
        assert read(filename, content) == BuildNeeds(("flit_core",)), filename
    assert read("a-1.tar.gz", build_sdist("a", "1")) == BuildNeeds(("setuptools",))


def test_without_pyproject__the_default() -> None:
    files = {"a-1/setup.py": b"", "a-1/docs/pyproject.toml": b"[broken"}
    assert read("a-1.tar.gz", build_tar_gz(files)) == BuildNeeds(DEFAULT)
    assert read("a-1.zip", build_zip(files)) == BuildNeeds(DEFAULT)


def _link() -> bytes:
    entry = tarfile.TarInfo("a-1/pyproject.toml")
    entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return build_tar_gz({"a-1/setup.py": b""}, entries=[entry])


@pytest.mark.parametrize(
    ("filename", "content", "said"),
    [
        ("a-1.tar.gz", b"no archive", "broken"),
        ("a-1.tar.gz", build_sdist("a", "1")[:60], "cut off"),
        ("a-1.zip", b"no archive", "not a zip archive"),
        ("a-1.zip", build_zip({"a/pyproject.toml": b"", "b/pyproject.toml": b""}), "several"),
        ("a-1.tar.bz2", b"", "not read"),
        ("a-1.tar.gz", build_tar_gz({"a-1/pyproject.toml": b"#" * (3 << 20)}), "larger than"),
    ],
)
def test_hostile_archive__why_nobody_can_tell(filename: str, content: bytes, said: str) -> None:
    needs = read(filename, content)
    assert needs.requirements == () and said in needs.reason, needs


def test_link_in_its_place__followed_by_nobody() -> None:
    assert read("a-1.tar.gz", _link()) == BuildNeeds(DEFAULT)


def test_bomb__given_up_in_bounded_memory() -> None:
    entry = tarfile.TarInfo("a-1/zeros")
    entry.size = 1 << 30
    bomb = gzip.compress(entry.tobuf() + b"\0" * (100 << 20))
    tracemalloc.start()
    needs = read("a-1.tar.gz", bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "64 MiB" in needs.reason and peak < 8 << 20, (needs, peak)


@pytest.mark.parametrize(
    ("chosen", "more"),
    [
        ({"setuptools": "65.5.0"}, ("wheel",)),
        ({"setuptools": "70.1"}, ()),
        ({"setuptools": "65.5.0", "wheel": "0.38"}, ()),
        ({"hatchling": "1.0"}, ()),
        ({"setuptools": "whenever"}, ()),
    ],
)
def test_setuptools_before_it_makes_wheels__asks_for_wheel(
    chosen: dict[str, str], more: tuple[str, ...]
) -> None:
    assert hook_requirements(chosen) == more


def test_is_sdist() -> None:
    names = ("a-1.tar.gz", "a-1.zip", "a-1.tar.xz", "a-1-py3-none-any.whl", "a-1.egg", "a-1.exe")
    assert [is_sdist(name) for name in names] == [True, True, True, False, False, False]
