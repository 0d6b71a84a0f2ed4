"""Addresses that npm's clients make at the root of a host, although the registry lies below a path.

pacote resolves the path of a tarball's address, and of attestations, against the registry's host alone.
"""

from __future__ import annotations

import re

_ROOT_RELATIVE = re.compile(
    rb"/-/+npm/+v1/+(?:keys|(?:attestations|security)/.*)"
    rb"|/.*/(?:-|download)/+(?:(?:@|%40)[^/]*(?:/+|%2[fF]))?[^/]+\.tgz"
    rb"|/(?:.*[/fF])?([^/%]+)/+([^/]+)/+\1-\2\.tgz"
    rb"|/(?:.*/)?download/+(?:@|%40)[^/]+/+[^/]+/+[0-9][^/]*/+(?:[0-9a-f]{40}|[0-9a-f]{64})"
)


def is_root_relative(raw_path: bytes) -> bool:
    """Whether a path from a host's root can be nothing but npm's: `classify` then reads it as it is."""
    return _ROOT_RELATIVE.fullmatch(raw_path) is not None
