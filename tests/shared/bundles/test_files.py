"""A file of a bundle has the one address that a request for it has; over all protocols."""

from __future__ import annotations

import msgspec
import pytest

from shared.builds.entries import FORMAT, BuildList, File
from shared.bundles.files import check_files, digests_of
from shared.bundles.form import BundleRefused
from shared.models import FileName, StoredFile
from shared.objects.port import artifact_key

SHA256 = "ab" * 32
SNAPSHOT = "1.0-SNAPSHOT"
FILES = [
    (FileName("pypi", "demo", SHA256, "demo-1.0-py3-none-any.whl"), ""),
    (FileName("pypi", "demo", SHA256, "demo-1.0-py3-none-any.whl.metadata"), ""),
    (FileName("npm", "@scope/thing", "-", "thing-1.0.0.tgz"), ""),
    (FileName("cargo", "thing", "1.0.0+x", "thing-1.0.0+x.crate"), ""),
    (FileName("maven", "org.example:a", "1.0", "a-1.0.pom"), ""),
    (
        FileName("maven", "org.example:a", f"{SNAPSHOT}:x1", f"a-{SNAPSHOT}.jar"),
        f"org.example:a/{SNAPSHOT}/a-{SNAPSHOT}.jar",
    ),
]


def listed(*files: File) -> BuildList:
    return BuildList(FORMAT, "a" * 32, "", "", [], list(files), [])


def entry(name: FileName, address: str = "") -> File:
    stored = StoredFile(SHA256, 5, "application/zip", artifact_key(SHA256), name.filename, 5.0)
    return File(name.protocol, address or name.identity, name, stored)


@pytest.mark.parametrize(("name", "address"), FILES)
def test_what_requests_name__taken(name: FileName, address: str) -> None:
    check_files(listed(entry(name, address)))


@pytest.mark.parametrize(("name", "address"), FILES)
def test_what_no_request_names__refused(name: FileName, address: str) -> None:
    right = entry(name, address)
    others = [
        msgspec.structs.replace(name, project=f"{name.project}?"),
        msgspec.structs.replace(name, file_id=""),
        msgspec.structs.replace(name, file_id=f"x{name.file_id}"),
        msgspec.structs.replace(name, filename=f"../{name.filename}"),
    ]
    for lie in (entry(other, right.address) for other in others):
        with pytest.raises(BundleRefused, match="is not where a file of its name lies"):
            check_files(listed(lie))
    with pytest.raises(BundleRefused, match="is not where"):
        check_files(listed(msgspec.structs.replace(right, address=f"{right.address}x")))


def test_two_digests_of_one_kind_for_the_same_bytes__refused() -> None:
    name = FILES[2][0]
    first = entry(name)
    assert first.stored is not None
    files = [
        msgspec.structs.replace(first, stored=msgspec.structs.replace(first.stored, digests={"sha1": each}))
        for each in ("0" * 40, "1" * 40)
    ]
    assert digests_of(listed(files[0])) == {artifact_key(SHA256): {"sha1": "0" * 40}}
    with pytest.raises(BundleRefused, match=r"files\[1\]: two sha1"):
        digests_of(listed(*files))
