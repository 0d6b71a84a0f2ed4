"""How keys are spelt in a Redis Cluster: what one script or read needs together lies in one slot.

A slot is the hash of what stands between the first braces of a key (redis.io, Cluster specification). The
names that the rest of the code knows are the same everywhere: they are spelt with braces on the way into
the cluster, and without on the way out.
"""

from __future__ import annotations

import re
from functools import lru_cache

from redis.crc import key_slot

SLOTS = 16384

_BY_PROTOCOL = re.compile(r"(orchard:upstream_sources:)([^:{}]+)(:.*)", re.DOTALL)
_BY_IDENTITY = re.compile(
    r"(orchard:(?:package_index|artifact_metadata|artifact_fence):[^:]+:)(.+?)((?::v:.*)?)", re.DOTALL
)


@lru_cache(maxsize=16384)
def tagged(key: str) -> str:
    """The key in the cluster: a page and its bodies share a slot, facts and their fence, and all that is
    known of a protocol's sources."""
    for pattern in (_BY_PROTOCOL, _BY_IDENTITY):
        found = pattern.fullmatch(key)
        if found is not None:
            return f"{found[1]}{{{found[2]}}}{found[3]}"
    return key


def untagged(key: str) -> str:
    """The reverse; what is not spelt so stays as it is."""
    before, brace, rest = key.partition("{")
    if not brace or "}" not in rest:
        return key
    by_protocol = before == "orchard:upstream_sources:"
    end = rest.find("}") if by_protocol else rest.find("}:v:")
    if end < 0:
        end = rest.rfind("}")
    plain = before + rest[:end] + rest[end + 1 :]
    return plain if tagged(plain) == key else key


def tagged_pattern(pattern: str) -> str:
    """The same for a MATCH that ends in `*`: of a category, of a protocol, or of how identities begin."""
    found = _BY_PROTOCOL.fullmatch(pattern)
    if found is not None:
        return f"{found[1]}{{{found[2]}}}{found[3]}"
    found = _BY_IDENTITY.fullmatch(pattern)
    return pattern if found is None or found[2] == "*" else f"{found[1]}{{{found[2]}"


def slot_of(key: str) -> int:
    """The slot of a key as the cluster has it."""
    return int(key_slot(key.encode()))
