"""Exports: what clients take, from one hand-made lock; the bill of materials against CycloneDX's schema."""

from __future__ import annotations

import base64
import hashlib
import json
import tomllib
from xml.etree.ElementTree import fromstring

import msgspec
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from services.gateway.api.exports import EXPORTS
from shared.protocols import protocol_named
from shared.protocols.lock import (
    LOCK_FORMAT,
    Lock,
    LockedBuild,
    LockedDocument,
    LockedGraph,
    LockedPackage,
    LockedProtocol,
    decode_lock,
    encode_lock,
)

BASE = "http://orchard.example.com:8080"
SHA = hashlib.sha256(b"x").hexdigest()
INTEGRITY = "sha512-" + base64.b64encode(hashlib.sha512(b"x").digest()).decode()


def package(purl: str, name: str, version: str, **more: object) -> LockedPackage:
    fields = {"filename": "f", "sha256": SHA, "size_bytes": 1, "path": "/p", "dependencies": []}
    return LockedPackage(purl=purl, name=name, version=version, **{**fields, **more})  # type: ignore[arg-type]


def graph(kind: type[LockedGraph], packages: list[LockedPackage], **more: object) -> LockedGraph:
    roots = [packages[0].purl]
    return kind([], "somewhere", "0" * 64, roots, packages, **more)  # type: ignore[arg-type]


PYPI = [
    package("pkg:pypi/flask@3.0", "flask", "3.0", dependencies=["pkg:pypi/a-b@1.0"]),
    package("pkg:pypi/a-b@1.0", "a-b", "1.0", filename="a_b-1.0.tar.gz"),
]
BUILD = [
    package("pkg:pypi/setuptools@80.0", "setuptools", "80.0"),
    package("pkg:pypi/wheel@0.45", "wheel", "0.45"),
]
OTHER_BUILD = [package("pkg:pypi/wheel@0.40", "wheel", "0.40")]
BUILDS = [
    graph(LockedBuild, BUILD, builds=["pkg:pypi/a-b@1.0"]),
    graph(LockedBuild, OTHER_BUILD, builds=["pkg:pypi/c@1"]),
]
NPM = [
    package(
        "pkg:npm/%40s/app@1.0.0",
        "@s/app",
        "1.0.0",
        path="/npm/@s/app/-/app-1.0.0.tgz",
        integrity=INTEGRITY,
        locations=("node_modules/@s/app",),
        manifest={"optionalDependencies": {"other": "npm:lib@^1", "alien": "1"}, "license": "MIT"},
        dependencies=["pkg:npm/lib@1.1.0"],
    ),
    package(
        "pkg:npm/lib@1.1.0",
        "lib",
        "1.1.0",
        locations=("node_modules/@s/app/node_modules/lib", "node_modules/other"),
        optional=True,
    ),
    package(
        "pkg:npm/alien@1.0.0", "alien", "1.0.0", sha256="", inert=True, locations=("node_modules/alien",)
    ),
]
MAVEN = [
    package("pkg:maven/com.example/tool@1.0?type=jar", "com.example:tool", "1.0", scope="compile"),
    package("pkg:maven/com.example/tool@1.0?classifier=sources&type=jar", "com.example:tool", "1.0"),
]
CARGO = [package("pkg:cargo/Leaf@1.0.0", "leaf", "1.0.0")]
PLUGIN = [package("pkg:maven/com.example/a-plugin@2.0?type=jar", "com.example:a-plugin", "2.0")]

LOCK = Lock(
    format=LOCK_FORMAT,
    key="ab" * 32,
    ensure={"pypi": {}, "npm": {"dependencies": {"@s/app": "^1"}}, "maven": {}, "cargo": {}},
    complete=True,
    files=6,
    size_bytes=6,
    protocols={
        "pypi": graph(LockedProtocol, PYPI, builds=BUILDS),
        "npm": graph(LockedProtocol, NPM),
        "maven": graph(LockedProtocol, MAVEN, apart=[graph(LockedGraph, PLUGIN)]),
        "cargo": msgspec.structs.replace(graph(LockedProtocol, CARGO), environment="any"),
    },  # type: ignore[dict-item]
)


def render(name: str) -> str:
    return EXPORTS[name][1].render(LOCK, BASE).decode()


def test_lock__reads_back() -> None:
    assert decode_lock(encode_lock(LOCK)) == LOCK
    shown = json.loads(encode_lock(LOCK))
    assert {"purl", "name", "version", "filename", "sha256", "size_bytes", "path", "dependencies"} == set(
        shown["protocols"]["pypi"]["packages"][0]
    )


@pytest.mark.parametrize("name", EXPORTS)
def test_each__the_same_bytes_each_time(name: str) -> None:
    turned = msgspec.structs.replace(LOCK, protocols=dict(reversed(LOCK.protocols.items())))
    assert EXPORTS[name][1].render(turned, BASE).decode() == render(name)


def test_requirements_txt__a_pin_and_a_hash_each_by_name() -> None:
    assert render("requirements.txt").splitlines()[2:] == [
        "a-b==1.0 \\",
        f"    --hash=sha256:{SHA}",
        "flask==3.0 \\",
        f"    --hash=sha256:{SHA}",
    ]


def test_build_constraints__a_pin_each__several_versions_told_apart() -> None:
    assert render("build-constraints.txt").splitlines()[1:] == [
        "setuptools==80.0",
        "# wheel: 0.40 for pkg:pypi/c@1; 0.45 for pkg:pypi/a-b@1.0",
    ]


def test_package_lock__places_addresses_integrity_and_aliases() -> None:
    found = json.loads(render("package-lock.json"))
    about = json.loads(render("package.json"))
    assert found["lockfileVersion"] == 3 and found["requires"] is True
    assert (found["name"], found["version"]) == (about["name"], about["version"])
    packages = found["packages"]
    assert packages[""]["dependencies"] == about["dependencies"] == {"@s/app": "^1"}
    assert packages["node_modules/@s/app"] == {
        "version": "1.0.0",
        "resolved": f"{BASE}/npm/@s/app/-/app-1.0.0.tgz",
        "integrity": INTEGRITY,
        "optionalDependencies": {"other": "npm:lib@^1", "alien": "1"},
        "license": "MIT",
    }
    own = "sha256-" + base64.b64encode(bytes.fromhex(SHA)).decode()
    assert packages["node_modules/other"] == {
        "name": "lib", "version": "1.1.0", "resolved": f"{BASE}/p", "integrity": own, "optional": True
    }  # fmt: skip
    assert "name" not in packages["node_modules/@s/app/node_modules/lib"]
    assert "integrity" not in packages["node_modules/alien"]


def test_dependency_management__types_and_classifiers_but_no_plugins() -> None:
    root = fromstring(render("dependency-management.xml"))
    found = [[each.text for each in entry] for entry in root.iter("dependency")]
    assert root.tag == "dependencyManagement"
    assert sorted(found, key=len) == [
        ["com.example", "tool", "1.0"],
        ["com.example", "tool", "1.0", "sources"],
    ]


def test_bill_of_materials__valid_and_whole() -> None:
    text = render("bom.cdx.json")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found = json.loads(text)
    assert found["serialNumber"].startswith("urn:uuid:")
    purls = {each["purl"] for each in found["components"]}
    assert purls == {each.purl for each in [*PYPI, *BUILD, *OTHER_BUILD, *NPM[:2], *MAVEN, *PLUGIN, *CARGO]}
    app = next(each for each in found["components"] if each["name"] == "app")
    assert app["group"] == "@s"
    assert {each["alg"] for each in app["hashes"]} == {"SHA-256", "SHA-512"}
    edges = {each["ref"]: each["dependsOn"] for each in found["dependencies"]}
    assert edges["pkg:pypi/flask@3.0"] == ["pkg:pypi/a-b@1.0"]
    root = found["metadata"]["component"]["bom-ref"]
    assert edges[root] == sorted(
        each[0].purl for each in (PYPI, BUILD, OTHER_BUILD, NPM, MAVEN, PLUGIN, CARGO)
    )
    assert "timestamp" not in found["metadata"]


def test_bill_of_materials_in_spdx__the_same_packages_and_edges() -> None:
    bom = json.loads(render("bom.spdx.json"))
    names = {
        each["SPDXID"]: each["externalRefs"][0]["referenceLocator"]
        for each in bom["packages"]
        if "externalRefs" in each
    }
    other = json.loads(render("bom.cdx.json"))
    assert sorted(names.values()) == [each["purl"] for each in other["components"]]
    edges = {(each["spdxElementId"], names.get(each["relatedSpdxElement"])) for each in bom["relationships"]}
    flask = next(key for key, purl in names.items() if purl == "pkg:pypi/flask@3.0")
    assert (flask, "pkg:pypi/a-b@1.0") in edges and ("SPDXRef-ensure", "pkg:pypi/flask@3.0") in edges
    app = next(each for each in bom["packages"] if each["name"] == "@s/app")
    assert app["downloadLocation"] == f"{BASE}/npm/@s/app/-/app-1.0.0.tgz"
    digests = {each["algorithm"]: each["checksumValue"] for each in app["checksums"]}
    assert digests == {"SHA256": SHA, "SHA512": hashlib.sha512(b"x").hexdigest()}


def test_pylock__read_back__the_same_files() -> None:
    read = protocol_named("pypi").pins.kinds["pylock.toml"].read
    files = [
        package(f"pkg:pypi/a-b@1.0?file_name={each}", "a-b", "1.0", filename=each, path=f"/pypi/{each}")
        for each in ("a_b-1.0.tar.gz", "a_b-1.0-py3-none-any.whl", "a_b-1.0-cp311-cp311-any.whl")
    ]
    lock = msgspec.structs.replace(LOCK, protocols={"pypi": graph(LockedProtocol, files)})
    text = EXPORTS["pylock.toml"][1].render(lock, BASE)
    pins = {each.filename: dict(each.digests) for each in read(text).pins}
    assert pins == {each.filename: {"sha256": SHA} for each in files}
    assert f'url = "{BASE}/pypi/a_b-1.0.tar.gz"' in text.decode()


def test_verification_metadata__read_back__files_of_plugins_and_documents_too() -> None:
    read = protocol_named("maven").pins.kinds["verification-metadata.xml"].read
    document = LockedDocument("com.example:tool", "1.0", "tool-1.0.pom", SHA, 1, "/p")
    jar = package("pkg:maven/com.example/tool@1.0", "com.example:tool", "1.0", filename="tool-1.0.jar")
    plugin = package("pkg:maven/com.example/x@2", "com.example:x", "2", filename="x-2.jar")
    maven = graph(LockedProtocol, [jar], documents=[document], apart=[graph(LockedGraph, [plugin])])
    lock = msgspec.structs.replace(LOCK, protocols={"maven": maven})
    pins = read(EXPORTS["verification-metadata.xml"][1].render(lock, BASE)).pins
    assert {each.filename for each in pins} == {"tool-1.0.jar", "tool-1.0.pom", "x-2.jar"}
    assert {each.digests for each in pins} == {(("sha256", SHA),)}


def test_cargo_config__the_orchard_for_the_default_registry() -> None:
    config = tomllib.loads(render("cargo-config.toml"))
    assert config["source"]["crates-io"]["replace-with"] == "orchard"
    assert config["registries"]["orchard"]["index"] == f"sparse+{BASE}/cargo/"
