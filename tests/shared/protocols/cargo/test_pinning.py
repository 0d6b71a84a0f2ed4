"""Cargo.lock as pins."""

from __future__ import annotations

import pytest

from shared.errors import EnsureInvalid
from shared.protocols import protocol_named
from shared.protocols.roles.pins import Elsewhere, Pin

READ = protocol_named("cargo").pins.kinds["Cargo.lock"].read
SUM = "a" * 64
V4 = f"""version = 4
[[package]]
name = "here"
version = "0.1.0"
dependencies = ["Demo"]
[[package]]
name = "Demo"
version = "1.0.0+meta"
source = "registry+https://git.example.com/index"
checksum = "{SUM}"
[[package]]
name = "other"
version = "1.0.0"
source = "git+https://git.example.com/other?rev=1#abc"
"""
SPARSE = V4.replace("registry+https://git.example.com/index", "sparse+https://packages.example.com/")
V1 = V4.replace("version = 4\n", "").replace(f'checksum = "{SUM}"\n', "") + (
    f'[metadata]\n"checksum Demo 1.0.0+meta (registry+https://git.example.com/index)" = "{SUM}"\n'
)


@pytest.mark.parametrize("text", [V4, SPARSE, V1, V4.replace("\n", "\r\n"), "\ufeff" + V4])
def test_every_version__names_its_crates__and_leaves_out_what_no_registry_has(text: str) -> None:
    found = READ(text.encode())
    assert found.pins == [Pin("demo", "1.0.0+meta", "", (("sha256", SUM),))]
    assert found.elsewhere == [
        Elsewhere("other", "it comes from git+https://git.example.com/other?rev=1#abc")
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (V4.replace(SUM, SUM[1:] + "x"), "package 2, `Demo`: hash is not hex"),
        (V4.replace(SUM, ""), "package 2, `Demo`: it has no checksum"),
        (V4.replace(f'checksum = "{SUM}"', ""), "package 2, `Demo`: it has no checksum"),
        (V4.replace("version = 4", "version = true"), "version is no whole number"),
        (V4.replace("version = 4", "version = 4.0"), "version is no whole number"),
        (V4.replace('"Demo"\nv', '"../Demo"\nv'), "package 2, `../Demo`: its name cannot be a crate's"),
        (V4.replace("1.0.0+meta", "1.0/../2"), "`1.0/../2` is no version"),
        (V4.replace("version = 4", "version = 5"), "1 to 4 of Cargo.lock"),
    ],
)
def test_what_is_wrong__is_told_with_its_place(text: str, said: str) -> None:
    with pytest.raises(EnsureInvalid) as error:
        READ(text.encode())
    assert said in error.value.message
