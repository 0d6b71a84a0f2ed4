"""What a lock file tells of a version: npm's own fields, in the forms that npm normalises them to."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from shared.protocols.npm.document import Document, Notes, decode_document, encode_document
from shared.protocols.npm.locking import lock_fields


def document(manifest: dict[str, Any], name: str = "@scope/tool") -> Document:
    text = msgspec.json.encode(
        {"name": name, "versions": {"1.0.0": {"name": name, "version": "1.0.0", **manifest}}}
    )
    return decode_document(encode_document(f"packument/{name}", "https://npm.example.com/", Notes(), text))


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        ({"dependencies": {"a": "1"}, "optionalDependencies": {"b": "2"}}, None),
        (
            {"dependencies": {"a": "1", "b": "2"}, "optionalDependencies": {"b": "2"}},
            {"dependencies": {"a": "1"}, "optionalDependencies": {"b": "2"}},
        ),
        (
            {"peerDependencies": {"p": "*"}, "peerDependenciesMeta": {"p": {"optional": True}}},
            None,
        ),
        ({"bin": "./cli.js"}, {"bin": {"tool": "cli.js"}}),
        ({"bin": {"one": "./a/b.js", "two": "c.js"}}, {"bin": {"one": "a/b.js", "two": "c.js"}}),
        ({"engines": {"node": ">=4"}, "os": ["linux"], "cpu": "x64", "libc": ["glibc"]},
         {"cpu": ["x64"], "engines": {"node": ">=4"}, "libc": ["glibc"], "os": ["linux"]}),
        ({"engines": ["node >= 4"], "os": [], "dependencies": {}}, {}),
        ({"license": {"type": "MIT", "url": "https://example.com"}}, {"license": "MIT"}),
        ({"funding": "https://example.com/give"}, {"funding": {"url": "https://example.com/give"}}),
        ({"scripts": {"postinstall": "node x"}}, {"hasInstallScript": True}),
        ({"scripts": {"test": "node x"}, "hasInstallScript": False}, {}),
        ({"deprecated": "use another"}, None),
        ({"deprecated": False}, {}),
        ({"dependencies": {"a": "1"}, "bundledDependencies": True},
         {"bundleDependencies": ["a"], "dependencies": {"a": "1"}}),
        ({"_hasShrinkwrap": True}, {"hasShrinkwrap": True}),
        ({"dist": {"integrity": "x"}, "readme": "y", "devDependencies": {"d": "1"}}, {}),
    ],
)  # fmt: skip
def test_fields__as_npm_writes_them(manifest: dict[str, Any], told: dict[str, Any] | None) -> None:
    assert lock_fields(document(manifest), "1.0.0") == (manifest if told is None else told)


def test_version_that_is_not_there__none() -> None:
    assert lock_fields(document({}), "2.0.0") is None
