"""Locks that lie: each value of a lock of every kind replaced by each of a list of lies. It is refused with a
place, or read as pins that can only be files of a registry."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from shared.errors import EnsureInvalid
from shared.protocols import protocol_named
from shared.protocols.reading.lock_text import MOST_PINS
from shared.resolving.pinned import PinnedFiles, all_kinds, read_lock
from tests.shared.protocols.cargo.test_pinning import V1 as CARGO_V1
from tests.shared.protocols.cargo.test_pinning import V4 as CARGO
from tests.shared.protocols.maven.test_pinning import LOCKFILE, VERIFICATION
from tests.shared.protocols.npm.test_pinning import BERRY, PNPM6, PNPM9, V1, V3, YARN1
from tests.shared.protocols.pypi.test_pinning import (
    OLD_PDM,
    OLD_POETRY,
    PDM,
    POETRY,
    PYLOCK,
    REQUIREMENTS,
    UV,
)
from tests.shared.resolving.test_pinned import cyclonedx, spdx

SAMPLES = [
    ("uv.lock", UV), ("pylock.toml", PYLOCK), ("poetry.lock", POETRY), ("poetry.lock", OLD_POETRY),
    ("pdm.lock", PDM), ("pdm.lock", OLD_PDM), ("requirements.txt", REQUIREMENTS),
    ("package-lock.json", json.dumps(V3)), ("package-lock.json", json.dumps(V1)),
    ("pnpm-lock.yaml", PNPM9), ("pnpm-lock.yaml", PNPM6), ("yarn.lock", YARN1), ("yarn.lock", BERRY),
    ("Cargo.lock", CARGO), ("Cargo.lock", CARGO_V1), ("gradle.lockfile", LOCKFILE),
    ("verification-metadata.xml", VERIFICATION), ("cyclonedx", json.dumps(cyclonedx())),
    ("spdx", json.dumps(spdx())),
]  # fmt: skip
VALUE = re.compile(r'"(?:[^"\\\n]|\\.)*"|(?<=[ :=/@<>])[^\s"\[\]{},:=/@<>]+')
"""A text in quotes, or a word."""

PATHS = (
    "../../etc/passwd", "..", ".", "/etc/passwd", "C:\\\\x", "..%2f..%2fx", "%2e%2e", "a/../../b-1.0.tar.gz",
    "a\\\\..\\\\b-1.0-py3-none-any.whl",
    "https://files.example.com/..%5c..%5ca-1.0.tar.gz", "a?b#c-1.0.tar.gz",
)  # fmt: skip
TEXTS = (
    "", " ", "a" * 70_000, "\u202egpj.exe",
    "\uff0e\uff0e\uff0fx", "1" * 5000, "1.0\\n2.0", "-1", "1e999", "NaN",
    "sha512-", "sha256:", "sha256:" + "\u0660" * 64, "pkg:pypi/../x@1", "pkg:npm/a@..%2f1", "npm:@/@",
    "pkg:maven/a/b@1?type=..%2fx&classifier=..", "pkg:pypi/a@1?file_name=..%2fa-1.0.tar.gz", "${x}", "{{x}}",
)  # fmt: skip
OTHER_KINDS = (
    "7",
    "-1e400",
    "true",
    "null",
    "[]",
    "{}",
    '[""]',
    '{"a": {"a": []}}',
    "2026-01-01",
    "0x7fffffffffffffff",
)


def lies(text: str) -> Iterator[str]:
    """The text with each of its values replaced by each lie."""
    for found in {each.span(): each for each in VALUE.finditer(text)}.values():
        quote = '"' if found[0].startswith('"') else ""
        for lie in (*(f"{quote}{each}{quote}" for each in (*PATHS, *TEXTS)), *OTHER_KINDS):
            yield text[: found.start()] + lie + text[found.end() :]


DEMO, TWO, ONE = "demo", "2.0.0", "1.0.0"
URL = "https://packages.example.com/npm"
LIED = [
    (
        "uv.lock",
        UV.replace('"1.0"', '"2.0"'),
        "package 2, `Demo`: `demo-1.0.tar.gz` is no file of version 2.0",
    ),
    ("uv.lock", UV.replace('"Demo"', '"kk"'), "package 2, `kk`: `demo-1.0.tar.gz` is no file of version 1.0"),
    (
        "pylock.toml",
        PYLOCK.replace('version = "1.0"\nsdist', 'version = "2.0"\nsdist'),
        "no file of version 2.0 of",
    ),
    (
        "poetry.lock",
        POETRY.replace('"1.0"', '"2.0"', 1),
        "package 1, `Demo`, file 1: `demo-1.0-py3-none-any.whl`",
    ),
    ("poetry.lock", OLD_POETRY.replace('"1.0"', '"2.0"', 1), "no file of version 2.0 of demo"),
    ("pdm.lock", PDM.replace('"1.0"', '"2.0"', 1), "no file of version 2.0 of demo"),
    (
        "pdm.lock",
        OLD_PDM.replace('"1.0"', '"2.0"').replace("demo 1.0", "demo 2.0"),
        "no file of version 2.0 of demo",
    ),
    (
        "package-lock.json",
        json.dumps(V3).replace(f'"version": "{ONE}", "resolved"', f'"version": "{TWO}", "resolved"'),
        "`demo-1.0.0.tgz` is no file of version 2.0.0 of demo",
    ),
    (
        "package-lock.json",
        json.dumps(V1).replace("npm:demo@1.0.0", "npm:kk@1.0.0"),
        "that of a file of `demo`",
    ),
    (
        "pnpm-lock.yaml",
        PNPM9.replace("{integrity", f"{{tarball: '{URL}/demo/-/demo-3.0.0.tgz', integrity"),
        "package 1, `demo@1.0.0(peer@2.0.0)`: `demo-3.0.0.tgz` is no file of version 1.0.0",
    ),
    (
        "yarn.lock",
        YARN1.replace('version "2.0.0"', 'version "2.0.1"'),
        "line 4, `@s/old@^2`: `old-2.0.0.tgz` is no file",
    ),
    (
        "yarn.lock",
        BERRY.replace("%2Fdemo.tgz", "%2Fdemo%2F-%2Fdemo-3.0.0.tgz"),
        "`demo-3.0.0.tgz` is no file of version",
    ),
    (
        "verification-metadata.xml",
        VERIFICATION.replace('version="1.0">', 'version="2.0">'),
        "is no file of version 2.0 of com.example:lib",
    ),
    (
        "cyclonedx",
        json.dumps(cyclonedx()).replace("demo-1.0.tar.gz", "demo-2.0.tar.gz"),
        "component 1, `demo`: `demo-2.0.tar.gz` is no file of version 1.0",
    ),
    (
        "spdx",
        json.dumps(spdx()).replace("demo-1.0.tar.gz", "demo-2.0.tar.gz"),
        "`demo-2.0.tar.gz` is no file of",
    ),
    *(
        (
            "cyclonedx",
            json.dumps(
                {
                    "bomFormat": "CycloneDX",
                    "components": [
                        {"name": DEMO, "purl": purl, "hashes": [{"alg": "SHA-256", "content": "a" * 64}]}
                    ],
                }
            ),
            "is no file of version 1.0.0 of",
        )
        for purl in (
            "pkg:npm/demo@1.0.0?file_name=demo-2.0.0.tgz",
            "pkg:cargo/demo@1.0.0?file_name=demo-2.0.0.crate",
            "pkg:cargo/demo@1.0.0?file_name=kk-1.0.0.crate",
            "pkg:pypi/demo@1.0.0?file_name=kk-1.0.0.tar.gz",
            "pkg:maven/g/demo@1.0.0?file_name=demo-2.0.0.jar",
            "pkg:maven/g/demo@1.0.0?file_name=kk-1.0.0.jar",
        )
    ),
    *(
        (
            "spdx",
            json.dumps(
                {
                    "spdxVersion": "SPDX-2.3",
                    "packages": [
                        {
                            "name": DEMO,
                            "packageFileName": told,
                            "checksums": [{"algorithm": "SHA256", "checksumValue": "a" * 64}],
                            "externalRefs": [{"referenceType": "purl", "referenceLocator": purl}],
                        }
                    ],
                }
            ),
            "package 1, `demo`: `",
        )
        for told, purl in (
            ("./x/demo-2.0.tar.gz", "pkg:pypi/demo@1.0"),
            ("demo-2.0.0.crate", "pkg:cargo/demo@1.0.0"),
            ("demo-2.0.0.tgz", "pkg:npm/demo@1.0.0"),
            ("demo-2.jar", "pkg:maven/g/demo@1"),
        )
    ),
]
NAMELESS = {"requirements.txt", "Cargo.lock", "gradle.lockfile"}
"""Kinds that tell no file names."""


@pytest.mark.parametrize(("kind", "text", "said"), LIED)
def test_a_version_with_the_file_of_another__refused_with_its_place(kind: str, text: str, said: str) -> None:
    with pytest.raises(EnsureInvalid) as error:
        read_lock(kind, text.encode())
    assert said in error.value.message


def test_every_kind_that_tells_names_of_files__is_lied_about() -> None:
    assert {kind for kind, _, _ in LIED} | NAMELESS == set(all_kinds())


def is_plain(segments: str) -> bool:
    """Whether a path can be no other one, however it is read."""
    return (
        segments.isascii()
        and segments.isprintable()
        and not set(segments) & set("\\%?#:")
        and not {"", ".", ".."} & set(segments.split("/"))
    )


def check(found: PinnedFiles) -> None:
    for name, pins in found.pins.items():
        grammar = protocol_named(name).grammar
        for pin in pins:
            assert is_plain(grammar.index_identity(pin.name)), pin
            assert is_plain(pin.version.replace("!", "")) and "/" not in pin.version, pin
            assert not pin.filename or (is_plain(pin.filename) and "/" not in pin.filename), pin
            for _, digests in pin.digests:
                assert digests and all(re.fullmatch(r"[0-9a-f]+", each) for each in digests.split()), pin
    for each in found.elsewhere:
        assert len(each.name) <= 100 and len(each.reason) <= 300 and (each.name + each.reason).isprintable()


@pytest.mark.parametrize(
    ("kind", "text"), SAMPLES, ids=[f"{kind}-{at}" for at, (kind, _) in enumerate(SAMPLES)]
)
def test_a_lie_in_each_place__refused_with_its_place_or_a_file_of_a_registry(kind: str, text: str) -> None:
    refused = 0
    for lie in lies(text):
        try:
            found = read_lock(kind, lie.encode())
        except EnsureInvalid as error:
            assert len(error.message) < 500 and error.message.isprintable(), error.message[:700]
            refused += 1
        else:
            check(found)
    assert refused


def test_every_kind__is_lied_about() -> None:
    assert {kind for kind, _ in SAMPLES} == set(all_kinds())


GIT = "git+https://git.example.com/x.git#abc"
MANY = MOST_PINS + 1


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("poetry.lock", "".join(
            f'[[package]]\nname="a{at}"\nversion="1"\nfiles=[]\nsource={{type="git",url="x"}}\n'
            for at in range(MANY))),
        ("requirements.txt", "".join(f"a{at} @ {GIT}\n" for at in range(MANY))),
        ("package-lock.json", json.dumps({"lockfileVersion": 3, "packages": {
            f"node_modules/a{at}": {"version": "1.0.0", "resolved": GIT} for at in range(MANY)}})),
        ("yarn.lock", "".join(
            f'a{at}@{GIT}:\n  version "1.0.0"\n  resolved "{GIT}"\n' for at in range(MANY))),
        ("Cargo.lock", "version = 4\n" + "".join(
            f'[[package]]\nname="a{at}"\nversion="1.0.0"\nsource="{GIT}"\n' for at in range(MANY))),
        ("gradle.lockfile", "".join(f"g:a{at}:1-SNAPSHOT=a\n" for at in range(MANY))),
        ("cyclonedx", json.dumps({"bomFormat": "CycloneDX", "components": [
            {"type": "library", "name": f"a{at}"} for at in range(MANY)]})),
    ],
)  # fmt: skip
def test_more_packages_of_no_registry_than_files_may_be_named__refused(kind: str, text: str) -> None:
    with pytest.raises(EnsureInvalid, match=f"more than {MOST_PINS}"):
        read_lock(kind, text.encode())


@pytest.mark.parametrize(
    ("kind", "text", "cycle"),
    [
        ("uv.lock", UV, '[[package]]\nname = "round"\nversion = "1"\nsource = { virtual = "." }\n'
         'dependencies = [{ name = "round" }]\n'),
        ("cyclonedx", json.dumps(cyclonedx()), {"dependencies": [
            {"ref": "a", "dependsOn": ["b"]}, {"ref": "b", "dependsOn": ["a", "b"]}]}),
        ("spdx", json.dumps(spdx()), {"relationships": [
            {"relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-here"},
            {"spdxElementId": "SPDXRef-1", "relationshipType": "CONTAINS",
             "relatedSpdxElement": "SPDXRef-1"}]}),
    ],
)  # fmt: skip
def test_cycles__change_nothing(kind: str, text: str, cycle: str | dict[str, object]) -> None:
    more = text + cycle if isinstance(cycle, str) else json.dumps({**json.loads(text), **cycle})
    assert read_lock(kind, more.encode()) == read_lock(kind, text.encode())
