"""Names one edit from a popular one."""

from __future__ import annotations

import pytest

from shared.policy.typos import mistyped

POPULAR = frozenset(
    {"requests", "lodash", "@corp/tool", "org.apache:commons", "abc", "JSONStream", "mysql", "mysql2"}
)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("requests", ""),
        ("reqests", "requests"),
        ("requestss", "requests"),
        ("reqeusts", "requests"),
        ("1odash", "lodash"),
        ("lodas", "lodash"),
        ("lodahss", ""),
        ("@corp/tol", "@corp/tool"),
        ("org.apache:common", "org.apache:commons"),
        ("abcd", ""),
        ("abd", ""),
        ("x" * 500, ""),
        ("JSONStream", ""),
        ("jsonstream", "JSONStream"),
        ("jsonstreams", "JSONStream"),
        ("mysql", ""),
        ("mysql2", ""),
    ],
)
def test_mistyped(name: str, meant: str) -> None:
    assert mistyped(name, POPULAR) == meant
