"""The names of everything in the cache Redis, and what may stand in them."""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache

from shared.errors import InvalidData

PREFIX = "orchard:"
MAX_IDENTIFIER = 1024  # characters; longer than any package name with its file name


class Category(StrEnum):
    """What a cached value is; ARCHITECTURE.md "State" says for how long."""

    ARTIFACT_METADATA = "artifact_metadata"
    ARTIFACT_DEPENDENCIES = "artifact_dependencies"
    DEPENDENCY_RESOLUTION = "dependency_resolution"
    UPSTREAM_SOURCES = "upstream_sources"
    PACKAGE_INDEX = "package_index"
    PACKAGE_VERSIONS = "package_versions"


SEALED = (Category.ARTIFACT_METADATA, Category.ARTIFACT_DEPENDENCIES)
"""Categories whose values never change: true even while nobody can tell us of changes."""


def cache_key(category: Category, protocol: str, identifier: str) -> str:
    """`orchard:{category}:{protocol}:{identifier}`.

    Raises `InvalidData` for whitespace, control characters, lone surrogates, an empty or over-long
    identifier: two spellings must never meet in one key or one log line.
    """
    if not identifier or len(identifier) > MAX_IDENTIFIER or " " in identifier:
        raise InvalidData("a cache identifier is empty, too long, or holds a space")
    if not identifier.isprintable() or not protocol.isalnum():
        raise InvalidData("a cache identifier holds characters that cannot be stored")
    return f"orchard:{category.value}:{protocol}:{identifier}"


def head_key(protocol: str, identity: str) -> str:
    """Key of an index page's head. Raises `InvalidData`."""
    if ":v:" in identity:  # would meet another page's variant
        raise InvalidData("an index identity must not hold ':v:'")
    return cache_key(Category.PACKAGE_INDEX, protocol, identity)


def variant_key(head: str, variant: str) -> str:
    """Key of one finished body beside its head. Raises `InvalidData`."""
    if not variant.isprintable() or " " in variant or not variant:
        raise InvalidData("a variant's name holds characters that cannot be stored")
    return f"{head}:v:{variant}"


def revision_key(protocol: str) -> str:
    """Key of the revision of a protocol's upstream sources (decimal)."""
    return cache_key(Category.UPSTREAM_SOURCES, protocol, "revision")


def breaker_key(protocol: str, source_id: int, name: str = "index") -> str:
    """Key of one of a source's breakers. The pages' one has the key that older services know."""
    suffix = "" if name == "index" else f":{name}"
    return cache_key(Category.UPSTREAM_SOURCES, protocol, f"breaker:{source_id}{suffix}")


def pause_key(protocol: str, source_id: int, name: str = "index") -> str:
    """Key that is there while nobody may ask: a breaker's pause, or the time given to its probe."""
    return cache_key(Category.UPSTREAM_SOURCES, protocol, f"pause:{source_id}:{name}")


def breakers_key(protocol: str, source_id: int) -> str:
    """Key of the set of names of a source's open breakers."""
    return cache_key(Category.UPSTREAM_SOURCES, protocol, f"breakers:{source_id}")


@lru_cache(maxsize=8192)
def index_keys(protocol: str, identity: str, variant: str) -> tuple[str, str, str]:
    """Keys of revision, head and variant ("" for none): what one read of a page asks for."""
    head = head_key(protocol, identity)
    return revision_key(protocol), head, variant_key(head, variant) if variant else ""
