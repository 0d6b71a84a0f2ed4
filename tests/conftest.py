"""Makes the store fixtures known to all tests, and names tests alike in every process."""

from __future__ import annotations

from typing import Any

pytest_plugins = ["tests.support.stores", "tests.support.seaweedfs", "tests.support.minio"]


def pytest_make_parametrize_id(val: Any, argname: str) -> str | None:
    """Long and packed bytes by their argument: gzip writes the second of its making into them, and tests
    that run in several processes must have the same name in each."""
    if isinstance(val, bytes) and (len(val) > 40 or val.startswith(b"\x1f\x8b")):
        return argname
    return None
