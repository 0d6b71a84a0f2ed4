"""What a Cargo lock is for. One lock holds all platforms, so there is nothing to choose but the Rust version.

`any` is Cargo's own default up to edition 2021: the newest versions, whatever Rust they ask for. `rust-1.85`
is what a package with `rust-version = "1.85"` and `resolver = "3"` gets (edition 2024): versions that this
Rust can build come before all others, which are still taken where nothing else fits.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from shared.errors import InvalidParameter

DEFAULT_ENVIRONMENT = "any"

_RUST = re.compile(r"rust-([0-9]{1,3})\.([0-9]{1,4})(?:\.([0-9]{1,4}))?")


class Environment(msgspec.Struct, frozen=True):
    """`rust` is None where its version has no say."""

    name: str
    rust: tuple[int, int, int] | None


@lru_cache(maxsize=256)
def environment(name: str) -> Environment:
    """The environment of a name. Raises `InvalidParameter`."""
    if name == DEFAULT_ENVIRONMENT:
        return Environment(name, None)
    found = _RUST.fullmatch(name)
    if found is None:
        raise InvalidParameter(
            f"environment: {name[:60]!r} is unknown; Cargo's are {DEFAULT_ENVIRONMENT} (the newest versions)"
            " and rust-1.85 (or another version of Rust: what it can build comes first)"
        )
    rust = (int(found[1]), int(found[2]), int(found[3] or 0))
    shown = f"rust-{rust[0]}.{rust[1]}" + (f".{rust[2]}" if rust[2] else "")
    return Environment(shown, rust)


def can_build(environment: Environment, rust_version: str) -> bool:
    """Whether a package's `rust-version` ("" for none) is met: a minimum within one major version."""
    if environment.rust is None or not rust_version:
        return True
    wanted = tuple(int(number) for number in rust_version.split("."))
    have = environment.rust
    return have[0] == wanted[0] and have[: len(wanted)] >= wanted
