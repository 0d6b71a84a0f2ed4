"""Cargo.toml and Cargo.lock of a lock: as cargo would write them."""

from __future__ import annotations

import tomllib
from typing import Any

from shared.protocols.cargo.locking import CargoLocks, CargoTable
from shared.protocols.lock import Lock, LockedPackage, LockedProtocol

BASE = "https://orchard.example.org/below"
INDEX = f"sparse+{BASE}/cargo/"
LOCKS = CargoLocks()


def package(name: str, version: str, *dependencies: str, extras: tuple[str, ...] = ()) -> LockedPackage:
    purl = f"pkg:cargo/{name}@{version.replace('+', '%2B')}"
    return LockedPackage(
        purl,
        name.lower(),
        version,
        f"{name.lower()}-{version}.crate",
        "a" * 64,
        10,
        "",
        list(dependencies),
        extras=extras,
    )


PACKAGES = [
    package("App", "1.0.0+x", *(f"pkg:cargo/{each}" for each in ("leaf@1.0.0", "leaf@2.0.0", "one@0.1.0")),
            extras=("default", "net")),
    package("leaf", "1.0.0"),
    package("leaf", "2.0.0"),
    package("one", "0.1.0"),
]  # fmt: skip


def lock(*requirements: str, environment: str = "any", **table: Any) -> Lock:
    graph = LockedProtocol(
        list(requirements),
        environment,
        "r" * 64,
        ["pkg:cargo/App@1.0.0%2Bx", "pkg:cargo/one@0.1.0"],
        PACKAGES,
    )
    return Lock(1, "k" * 64, {"cargo": table}, True, 4, 40, {"cargo": graph})


def export(name: str, made: Lock) -> dict[str, Any]:
    return tomllib.loads(LOCKS.exports[name].render(made, BASE).decode())


def test_manifest__has_the_requirements_with_their_features() -> None:
    told = export("Cargo.toml", lock("App@^1 --no-default-features --features a,b", "one@*"))
    assert told["dependencies"] == {
        "App": {"version": "^1", "registry-index": INDEX, "default-features": False, "features": ["a", "b"]},
        "one": {"version": "*", "registry-index": INDEX},
    }
    assert "rust-version" not in told["package"]


def test_manifest__for_a_rust_has_its_version_and_of_all_features_each() -> None:
    told = export("Cargo.toml", lock("App@^1", environment="rust-1.85", include_optional=True))
    assert (told["package"]["rust-version"], told["package"]["resolver"]) == ("1.85", "3")
    assert told["dependencies"]["App"]["features"] == ["net"]


def test_lock__names_versions_only_where_a_crate_has_several() -> None:
    told = export("Cargo.lock", lock("App@^1", "one@*"))
    by_name = {(each["name"], each["version"]): each for each in told["package"]}
    assert list(by_name) == sorted(by_name)
    assert by_name["App", "1.0.0+x"]["dependencies"] == ["leaf 1.0.0", "leaf 2.0.0", "one"]
    assert by_name["ensured", "1.0.0"] == {
        "name": "ensured",
        "version": "1.0.0",
        "dependencies": ["App", "one"],
    }
    assert by_name["leaf", "2.0.0"] == {
        "name": "leaf", "version": "2.0.0", "source": INDEX, "checksum": "a" * 64
    }  # fmt: skip


def test_table__requirements_by_their_places() -> None:
    table = CargoTable(requirements=("b", "a@1"))
    assert list(LOCKS.roots(table)) == [(("requirements", 0), "b"), (("requirements", 1), "a@1")]
    assert LOCKS.shown(["a@^1", "b@*"], [], "") == {"requirements": ["a@^1", "b@*"]}
