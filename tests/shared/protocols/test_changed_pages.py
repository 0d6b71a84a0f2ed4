"""Renderings say whether stored files changed them: their source's Last-Modified is not theirs then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from shared.models import SealedFile
from shared.protocols import protocol_named
from shared.protocols.base import PackageProxyBase
from tests.shared.protocols.cargo.test_index import line
from tests.shared.protocols.cargo.test_pages import NEW, OLD, document
from tests.shared.protocols.cargo.test_pages import sealed as sealed_crate
from tests.shared.protocols.npm import support as npm
from tests.shared.protocols.pypi import support as pypi

WHEEL = "demo-1.0-py3-none-any.whl"
A, B = "a" * 64, "b" * 64
Sealed = Mapping[tuple[str, str], SealedFile]


def wheel(sha256: str = A, *, file_id: str = A, metadata: str = "") -> Sealed:
    return {(file_id, WHEEL): SealedFile(WHEEL, file_id, sha256, 5, metadata)}


def page(**keys: Any) -> Any:
    return pypi.read(pypi.page(pypi.entry(WHEEL, size=5, **keys)))


def packument(**dist: Any) -> Any:
    return npm.read(npm.packument(npm.manifest(**dist)))[0]


TARBALL = npm.sealed_files("demo-1.0.0.tgz", digests={"sha1": "c" * 40, "sha512": "d" * 128})
METADATA = {"core-metadata": {"sha256": B}}
CASES: list[tuple[str, str, Any, Sealed, bool]] = [
    ("nothing stored", "simple/demo", page(), {}, False),
    ("stored as told", "simple/demo", page(), wheel(), False),
    ("metadata as told", "simple/demo", page(**METADATA), wheel(metadata=B), False),
    ("metadata put in", "simple/demo", page(), wheel(metadata=B), True),
    ("digest put in", "simple/demo", page(hashes={}), wheel(file_id="x"), True),
    ("other bytes told now", "simple/demo", page(), wheel(B, file_id=B), True),
    ("crate as told", "index/example-crate", document(line("1.0.0", cksum=OLD)), sealed_crate(), False),
    (
        "crate's first bytes",
        "index/example-crate",
        document(line("1.0.0", cksum=OLD), line("1.0.0", cksum=NEW)),
        sealed_crate(),
        True,
    ),
    ("tarball with digests", "packument/demo", packument(), TARBALL, False),
    ("tarball without", "packument/demo", packument(shasum=None), TARBALL, True),
    ("tarball that is not stored", "packument/demo", packument(shasum=None), {}, False),
]
OF = {"simple": "pypi", "index": "cargo", "packument": "npm"}


def bodies(
    protocol: PackageProxyBase, identity: str, document: Any, sealed: Sealed
) -> tuple[list[bytes], bool]:
    made = protocol.pages.rewrite_index(
        identity, document, sealed=sealed, base_url="https://orchard.example.com/x"
    )
    return [each.body for each in made.values()], any(each.is_changed for each in made.values())


@pytest.mark.parametrize(
    ("identity", "document", "sealed", "differs"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_rendering__says_that_it_is_changed_when_its_body_is(
    identity: str, document: Any, sealed: Sealed, differs: bool
) -> None:
    protocol = protocol_named(OF[identity.partition("/")[0]])
    plain, _ = bodies(protocol, identity, document, {})
    made, is_changed = bodies(protocol, identity, document, sealed)
    assert (made != plain, is_changed) == (differs, differs)
