"""The locks of npm's clients as pins, and which tarball of a packument a pin is."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from shared.errors import EnsureInvalid
from shared.models import FileName
from shared.protocols import protocol_named
from shared.protocols.npm.document import Notes, decode_document, encode_document
from shared.protocols.roles.pins import LockRead, NotFound, Pin

PINS = protocol_named("npm").pins
SHA512, SHA1 = b"\1" * 64, "ab" * 20
INTEGRITY = f"sha512-{base64.b64encode(SHA512).decode()}"
SAME = (("sha512", SHA512.hex()),)
AT = "https://packages.example.com/npm"
WANTED = {Pin("demo", "1.0.0", "", SAME), Pin("@s/old", "2.0.0", "", (("sha1", SHA1),))}

DEMO = {"version": "1.0.0", "resolved": f"{AT}/demo/-/demo-1.0.0.tgz", "integrity": INTEGRITY}
OLD = {"version": "2.0.0", "resolved": f"{AT}/@s/old/-/old-2.0.0.tgz#{SHA1}"}
V3: dict[str, Any] = {
    "lockfileVersion": 3,
    "packages": {
        "": {"name": "here", "version": "1.0.0"},
        "packages/member": {"version": "0.1.0"},
        "node_modules/member": {"resolved": "packages/member", "link": True},
        "node_modules/alias": {"name": "demo", **DEMO},
        "node_modules/a/node_modules/@s/old": OLD,
        "node_modules/bundled": {"version": "3.0.0", "inBundle": True},
        "node_modules/other": {"version": "1.0.0", "resolved": "git+ssh://git@git.example.com/other.git#abc"},
    },
}
V1: dict[str, Any] = {
    "lockfileVersion": 1,
    "dependencies": {
        "alias": {**DEMO, "version": "npm:demo@1.0.0", "dependencies": {"@s/old": OLD}},
        "member": {"version": "file:packages/member"},
        "other": {"version": "git+https://git.example.com/other.git#abc", "from": "other"},
        "bundled": {"version": "3.0.0", "bundled": True},
    },
}
PNPM9 = f"""lockfileVersion: '9.0'
importers:
  .: {{}}
packages:
  demo@1.0.0(peer@2.0.0):
    resolution: {{integrity: {INTEGRITY}}}
  other@git+https://git.example.com/other.git#abc:
    resolution: {{commit: abc, repo: https://git.example.com/other.git, type: git}}
  member@file:packages/member:
    resolution: {{directory: packages/member, type: directory}}
"""
PNPM6 = PNPM9.replace("'9.0'", "'6.0'").replace("  demo@", "  /demo@")
YARN1 = f"""# yarn lockfile v1


"@s/old@^2", "@s/old@~2":
  version "2.0.0"
  resolved "{OLD["resolved"]}"

"alias@npm:demo@^1":
  version "1.0.0"
  resolved "{DEMO["resolved"]}#{SHA1}"
  integrity {INTEGRITY}
  dependencies:
    "@s/old" "^2"

"other@https://git.example.com/other.git":
  version "1.0.0"
  resolved "https://git.example.com/other.git#abc"
"""
BERRY = """__metadata:
  version: 8
"@s/old@npm:^2":
  version: 2.0.0
  resolution: "@s/old@npm:2.0.0"
  checksum: 10c0/0000
"alias@npm:demo@^1":
  version: 1.0.0
  resolution: "demo@npm:1.0.0::__archiveUrl=https%3A%2F%2Fpackages.example.com%2Fdemo.tgz"
"here@workspace:.":
  version: 0.0.0-use.local
  resolution: "here@workspace:."
"other@https://git.example.com/other.git":
  version: 1.0.0
  resolution: "other@https://git.example.com/other.git#commit=abc"
"""


def read(kind: str, text: str | dict[str, Any]) -> LockRead:
    return PINS.kinds[kind].read((text if isinstance(text, str) else json.dumps(text)).encode())


@pytest.mark.parametrize(
    ("kind", "text", "wanted"),
    [
        ("package-lock.json", V3, WANTED),
        ("package-lock.json", {**V3, **V1, "lockfileVersion": 2}, WANTED),
        ("package-lock.json", V1, WANTED),
        ("yarn.lock", YARN1, WANTED),
        ("yarn.lock", YARN1.replace("\n", "\r\n"), WANTED),
        ("yarn.lock", BERRY, {Pin("demo", "1.0.0"), Pin("@s/old", "2.0.0")}),
        ("pnpm-lock.yaml", PNPM9, {Pin("demo", "1.0.0", "", SAME)}),
        ("pnpm-lock.yaml", "\ufeff" + PNPM6, {Pin("demo", "1.0.0", "", SAME)}),
    ],
)
def test_every_lock__names_its_files__and_leaves_out_what_no_registry_has(
    kind: str, text: str | dict[str, Any], wanted: set[Pin]
) -> None:
    found = read(kind, text)
    assert set(found.pins) == wanted
    assert [each.name.partition("@")[0] for each in found.elsewhere] == ["other"]


def entry(**fields: Any) -> dict[str, Any]:
    return {"lockfileVersion": 3, "packages": {"node_modules/demo": {**DEMO, **fields}}}


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("package-lock.json", entry(integrity="sha512-zz"), "package 1, `node_modules/demo`: its integrity"),
        ("package-lock.json", entry(integrity=7), "integrity is no text"),
        ("package-lock.json", entry(name="../demo"), "`../demo` cannot be a package's name"),
        ("package-lock.json", entry(version="../../1"), "`../../1` is no version"),
        ("package-lock.json", entry(version="1.0.0\u0000"), "`1.0.0\\x00` is no version"),
        ("package-lock.json", {"lockfileVersion": 4}, "1, 2 and 3 are read"),
        ("package-lock.json", {"lockfileVersion": True}, "lockfileVersion is no whole number"),
        ("package-lock.json", '{"a": 1, "a": 2}', "the key 'a' stands twice"),
        ("package-lock.json", '{"a": ' * 100_000, "nested too deeply"),
        ("package-lock.json", '{"a": ' * 70 + "1" + "}" * 70, "nested deeper than 64"),
        ("package-lock.json", "[]", "expected an object"),
        ("package-lock.json", '{"packages": {', "line 1, column"),
        ("package-lock.json", '{"packages": []}', "packages is no table"),
        ("pnpm-lock.yaml", PNPM9.replace("'9.0'", "'5.4'"), "6 and 9 are read"),
        ("pnpm-lock.yaml", PNPM9.replace(INTEGRITY, "sha512-zz"), "package 1, `demo@1.0.0(peer@2.0.0)`"),
        ("pnpm-lock.yaml", PNPM9 + "a: &x 1\nb: *x\n", "an anchor or alias"),
        ("pnpm-lock.yaml", PNPM9 + "a: !!python/name:os.system 1\n", "a tag"),
        ("pnpm-lock.yaml", PNPM9 + "importers: {}\n", "a key stands twice"),
        ("pnpm-lock.yaml", PNPM9 + "a: " + "[" * 5000, "nested deeper than 64"),
        ("pnpm-lock.yaml", "a: [" + "1," * 400_000 + "]", "more than 400000 values"),
        ("package-lock.json", entry(integrity=f"{INTEGRITY} " * 50), "its integrity `sha512-"),
        ("pnpm-lock.yaml", "a: [", "line 2, column 1"),
        ("yarn.lock", YARN1.replace('version "2.0.0"', 'version "../2"'), "line 4, `@s/old@^2`: `../2`"),
        ("yarn.lock", YARN1 + "nonsense\n", "line 18: `nonsense` is no entry"),
        ("yarn.lock", YARN1 + YARN1, "stands twice"),
        ("yarn.lock", BERRY.replace('resolution: "@s/old@npm:2.0.0"', ""), "`@s/old@npm:^2`: it has no"),
    ],
)  # fmt: skip
def test_what_is_wrong__is_told_with_its_place(kind: str, text: str | dict[str, Any], said: str) -> None:
    with pytest.raises(EnsureInvalid) as error:
        read(kind, text)
    assert said in error.value.message and len(error.value.message) < 400


def document() -> Any:
    dist = {"tarball": DEMO["resolved"], "integrity": INTEGRITY, "shasum": SHA1}
    text = {"name": "demo", "versions": {"1.0.0": {"name": "demo", "version": "1.0.0", "dist": dist}}}
    return decode_document(
        encode_document("packument/demo", f"{AT}/demo", Notes(), json.dumps(text).encode())
    )


@pytest.mark.parametrize("digests", [SAME, (("sha1", SHA1),), ()])
def test_find__the_versions_one_tarball(digests: tuple[tuple[str, str], ...]) -> None:
    assert PINS.find(document(), Pin("demo", "1.0.0", "", digests)) == FileName(
        "npm", "demo", "-", "demo-1.0.0.tgz"
    )


@pytest.mark.parametrize(
    ("pin", "differs"),
    [
        (Pin("demo", "1.0.0", "", (("sha512", "00" * 64),)), True),
        (Pin("demo", "1.0.0", "", (("sha1", "00" * 20), *SAME)), True),
        (Pin("demo", "1.0.1", "", SAME), False),
    ],
)
def test_find__other_bytes_or_none(pin: Pin, differs: bool) -> None:
    with pytest.raises(NotFound) as error:
        PINS.find(document(), pin)
    assert error.value.differs is differs
