"""What a crate's file declares, and what is no crate."""

from __future__ import annotations

import gzip
import io
import tarfile

import pytest

from shared.errors import UpstreamInvalid
from shared.models import Extraction, FileEntry
from shared.protocols.cargo.metadata import CargoArchive
from tests.support.cargo_builders import build_crate

ARCHIVE = CargoArchive()
MANIFEST = """\
rust-version = "1.70"
[features]
default = ["std"]
std = []
[dependencies]
plain = "1"
[dependencies.Renamed]
version = "^2"
package = "Real_Name"
features = ["a", "b"]
default-features = false
optional = true
[dependencies.near]
path = "../near"
[build-dependencies]
cc = "1.0"
[dev-dependencies]
criterion = "1"
[target."cfg(windows)".dependencies]
windows = { version = "0.5" }
"""


def extracted(content: bytes, filename: str = "demo-1.0.0.crate") -> Extraction:
    extraction, _ = ARCHIVE.extract(filename, io.BytesIO(content), len(content))
    return extraction


def check(content: bytes, filename: str = "demo-1.0.0.crate") -> None:
    ARCHIVE.check_file(FileEntry(filename, "", "1.0.0"), io.BytesIO(content), len(content))


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def test_dependencies__for_running_and_building_and_of_all_targets() -> None:
    found = extracted(build_crate("demo", "1.0.0", manifest=MANIFEST))
    assert (found.state, found.name, found.version) == ("extracted", "demo", "1.0.0")
    assert found.extras == ("default", "std")
    assert [(each.requirement, each.name, each.specifier) for each in found.dependencies] == [
        ("plain@1", "plain", "1"),
        ("Real_Name@^2 --no-default-features --features a,b", "real_name", "^2"),
        ("near@", "near", ""),
        ("cc@1.0", "cc", "1.0"),
        ("windows@0.5", "windows", "0.5"),
    ]
    assert [(each.kind, each.marker, each.optional) for each in found.dependencies] == [
        ("runtime", "", False),
        ("runtime", "", True),
        ("runtime", "", False),
        ("build", "", False),
        ("runtime", "cfg(windows)", False),
    ]


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        ("[", "not valid TOML"),
        ("a = " + "[" * 5000, "not valid TOML"),
        ("[dependencies]\na = { version = 1 }", "no text"),
        ("[dependencies]\na = { version = '1', features = 'x' }", "no list"),
        ("[dependencies]\na = { version = '1', features = [1] }", "no text"),
        ('[dependencies]\na = "\\u0000"', "NUL"),
        ("[dependencies]\na = '" + "1" * 20_000 + "'", "longer"),
        ("[dependencies]\n" + "".join(f"a{n} = '1'\n" for n in range(10_001)), "more than"),
    ],
)
def test_manifest__that_cannot_be_believed__is_unextractable(manifest: str, reason: str) -> None:
    found = extracted(build_crate("demo", "1.0.0", manifest=manifest))
    assert found.state == "unextractable"
    assert reason in found.reason


def test_crate__in_another_folder_than_its_name__is_unextractable_and_refused() -> None:
    content = build_crate("demo", "1.0.0", folder="other-1.0.0")
    assert extracted(content).state == "unextractable"
    with pytest.raises(UpstreamInvalid, match="no crate"):
        check(content)


@pytest.mark.parametrize("name", ["demo", "Demo"])
def test_crate__is_let_through_in_its_own_spelling(name: str) -> None:
    check(build_crate(name, "1.0.0"))
    check(build_crate(name, "1.0.0-RC1+b"), "demo-1.0.0-RC1+b.crate")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>log in</html>",
        b"\x1f\x8b" + b"\0" * 50,
        gzip.compress(b""),
        gzip.compress(b"x" * 10_000),
        gzip.compress(bytes(10_240)),
        build_crate("demo", "1.0.0")[:20],
        tar((tarfile.TarInfo("demo-1.0.0/src/lib.rs"), b"")),
    ],
    ids=["empty", "page", "broken", "nothing", "no tar", "zeros", "cut", "no manifest"],
)
def test_file__that_cargo_would_not_unpack__is_refused(content: bytes) -> None:
    with pytest.raises(UpstreamInvalid):
        check(content)


def test_manifest__behind_more_than_is_unpacked__is_not_missed() -> None:
    large = (tarfile.TarInfo("demo-1.0.0/a"), bytes(70 << 20))
    check(tar(large, (tarfile.TarInfo("demo-1.0.0/Cargo.toml"), b"")))
