"""Which kind a lock is, its canonical form, and bills of materials as pins."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.errors import EnsureInvalid
from shared.protocols.roles.pins import Elsewhere, Pin
from shared.resolving.pinned import PinnedFiles, all_kinds, kind_of, pinned, read_document, read_lock

SUM, OTHER = "a" * 64, "b" * 64
DIGEST = (("sha256", SUM),)
PINS = {
    "cargo": (Pin("serde", "1.0.0", "", DIGEST),),
    "maven": (Pin("com.example:lib", "1.0", "lib-1.0-linux.jar", DIGEST),),
    "npm": (Pin("@s/demo", "1.0.0"), Pin("mirrored", "1.0.0", "", DIGEST)),
    "pypi": (Pin("demo", "1.0", "demo-1.0.tar.gz", (("sha256", OTHER),)), Pin("plain", "1.0", "", DIGEST)),
}
PURLS = [
    ("pkg:cargo/Serde@1.0.0", SUM),
    ("pkg:maven/com.example/lib@1.0?classifier=linux&type=jar", SUM),
    ("pkg:npm/%40s/demo@1.0.0", ""),
    ("pkg:pypi/Plain@1.0", SUM),
    ("pkg:pypi/several@1.0", ""),
    ("pkg:golang/example.com/x@v1.0.0", SUM),
    ("pkg:npm/forked@1.0.0?vcs_url=git%2Bhttps://git.example.com/x", ""),
    ("pkg:npm/private@1.0.0?repository_url=https://npm.example.com", ""),
    ("pkg:npm/mirrored@1.0.0?repository_url=https://npm.example.com", SUM),
]
SEVERAL = "it tells no hash, and a version has several files"
FOREIGN = "it is of no registry that is spoken here"
ELSEWHERE = {
    Elsewhere("pkg:pypi/several@1.0", SEVERAL),
    Elsewhere("pkg:golang/example.com/x@v1.0.0", FOREIGN),
    Elsewhere("pkg:npm/forked@1.0.0?vcs_url=git%2Bhttps://git.example.com/x", FOREIGN),
    Elsewhere(
        "pkg:npm/private@1.0.0?repository_url=https://npm.example.com",
        "it is of another repository, and tells no hash of its file",
    ),
    Elsewhere("nameless", "it has no package URL"),
}


def cyclonedx() -> dict[str, Any]:
    components: list[dict[str, Any]] = [
        {
            "type": "library",
            "name": purl,
            "purl": purl,
            "hashes": [{"alg": "SHA-256", "content": sha256}] * bool(sha256),
        }
        for purl, sha256 in PURLS
    ]
    file = {
        "type": "distribution",
        "url": "https://files.example.com/demo-1.0.tar.gz",
        "hashes": [{"alg": "SHA-256", "content": OTHER}],
    }
    demo = {"type": "library", "name": "demo", "purl": "pkg:pypi/demo@1.0", "externalReferences": [file]}
    components[0]["components"] = [demo, {"type": "library", "name": "nameless"}]
    components.append({"type": "operating-system", "name": "debian"})
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": components}


def spdx() -> dict[str, Any]:
    purls = [*PURLS, ("pkg:pypi/demo@1.0?file_name=demo-1.0.tar.gz", OTHER)]
    packages: list[dict[str, Any]] = [
        {
            "SPDXID": f"SPDXRef-{number}",
            "name": purl,
            "checksums": [{"algorithm": "SHA256", "checksumValue": sha256}] * bool(sha256),
            "externalRefs": [{"referenceType": "purl", "referenceLocator": purl}],
        }
        for number, (purl, sha256) in enumerate(purls)
    ]
    packages += [
        {"SPDXID": "SPDXRef-x", "name": "nameless"},
        {
            "SPDXID": "SPDXRef-here",
            "name": "here",
            "externalRefs": [{"referenceType": "purl", "referenceLocator": "pkg:npm/here@1.0.0"}],
        },
    ]
    describes = {"relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-here"}
    return {"spdxVersion": "SPDX-2.3", "packages": packages, "relationships": [describes]}


@pytest.mark.parametrize(("kind", "bom"), [("cyclonedx", cyclonedx()), ("spdx", spdx())])
def test_a_bill_of_materials__names_files_of_every_protocol(kind: str, bom: dict[str, Any]) -> None:
    body = json.dumps(bom).encode()
    assert kind_of("bom.json", body) == kind
    found = read_lock(kind, body)
    assert found.pins == PINS and set(found.elsewhere) == ELSEWHERE


@pytest.mark.parametrize("mark", [{"bomFormat": "CycloneDX"}, {"spdxVersion": "SPDX-2.3"}])
def test_kind_of__its_mark_stands_at_the_end_of_a_long_document__is_found(mark: dict[str, str]) -> None:
    kind = "cyclonedx" if "bomFormat" in mark else "spdx"
    long = {"components": [{"name": "x" * 100}] * 1000}
    assert kind_of("bom.json", json.dumps(long | mark, indent=2).encode()) == kind
    assert not kind_of("bom.json", json.dumps(long | {"metadata": mark}).encode())
    assert not kind_of("bom.json", json.dumps({"x": mark} | long).encode()), "of the outermost object alone"


def component(**fields: Any) -> bytes:
    about = {"type": "library", "name": "demo", "purl": "pkg:npm/demo@1.0.0", **fields}
    return json.dumps({"bomFormat": "CycloneDX", "components": [about]}).encode()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (component(purl="pkg:npm"), "component 1, `demo`: `pkg:npm` is no package URL"),
        (component(purl="pkg:npm/demo"), "names no version of a project"),
        (component(purl="pkg:npm/demo@%5E1"), "names no version of a project"),
        (component(purl="pkg:pypi/..%2Fdemo@1"), "names no version of a project"),
        (component(hashes=[{"alg": "SHA-256", "content": "xyz"}]), "component 1, `demo`: hash is not hex"),
        (component(hashes=[{"alg": "SHA-1", "content": SUM}]), "hash has 64 digits, sha1 has 40"),
        (component(components="x"), "components is no list"),
        (b'{"bomFormat": "x"}', "expected CycloneDX"),
        (b'{"bomFormat": "CycloneDX"}', "it names no file of a registry"),
        (b'{"bomFormat": "CycloneDX", "components": ' + b'[{"components": ' * 60, "line 1"),
        (
            b'{"bomFormat": "CycloneDX", "components": [' + b"{}," * 10_001 + b"{}]}",
            "more than 10000 packages",
        ),
    ],
)
def test_what_is_wrong_with_a_bill__is_told_with_its_place(body: bytes, said: str) -> None:
    with pytest.raises(EnsureInvalid) as error:
        read_lock("cyclonedx", body)
    assert said in error.value.message and len(error.value.message) < 400


@pytest.mark.parametrize("described", [5, "SPDXRef-x", {"a": 1}])
def test_what_a_bill_describes__is_a_list(described: Any) -> None:
    with pytest.raises(EnsureInvalid, match="documentDescribes is no list"):
        read_lock("spdx", json.dumps({**spdx(), "documentDescribes": described}).encode())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((each, each) for each in all_kinds() if "." in each),
        ("C:\\build\\uv.lock", "uv.lock"),
        ("pylock.dev.toml", "pylock.toml"),
        ("dev-requirements.txt", "requirements.txt"),
        ("npm-shrinkwrap.json", "package-lock.json"),
        ("buildscript-gradle.lockfile", "gradle.lockfile"),
        ("orchard.ensure", ""),
        ("orchard.json", ""),
        ("", ""),
    ],
)
def test_kind_of__by_the_name(name: str, kind: str) -> None:
    assert kind_of(name, b"") == kind


def test_one_set_of_files__one_key__whatever_their_order_and_their_lock() -> None:
    pins = [Pin("demo", "1.0", "demo-1.0.tar.gz", DIGEST), Pin("a", "1.0", "", DIGEST)]
    first, again = pinned({"pypi": pins}, []), pinned({"npm": [], "pypi": [*pins[::-1], pins[0]]}, [])
    assert first.key == again.key and read_document(first.document) == first
    assert first.key != pinned({"pypi": pins[:1]}, []).key
    assert first.document == json.dumps(first.canonical, sort_keys=True, separators=(",", ":"))  # keys last
    assert isinstance(read_document(first.document), PinnedFiles)
