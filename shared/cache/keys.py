"""The keys of the cache Redis, which characters they may hold, and the names of variants.

Variants are the finished bodies of an index page: `{representation}.{content-coding}`, such as "json.gzip";
and a hash behind it where bodies hold absolute URLs, of the base URL that they were rendered for.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256

from shared.errors import InvalidData
from shared.models import FileName

PREFIX = "orchard:"
MAX_IDENTIFIER = 1024  # characters; longer than any package name with its file name


class Category(StrEnum):
    """The kinds of cached values; ARCHITECTURE.md "State" says for how long each is stored."""

    ARTIFACT_METADATA = "artifact_metadata"
    ARTIFACT_DEPENDENCIES = "artifact_dependencies"
    ARTIFACT_NAMES = "artifact_names"
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


@lru_cache(maxsize=8192)
def facts_key(file: FileName) -> str:
    """Key of a file's facts. Raises `InvalidData`."""
    return cache_key(Category.ARTIFACT_METADATA, file.protocol, file.identity)


def fence_key(file: FileName) -> str:
    """Key of the time (unix seconds) up to which rows of a file were taken away. Raises `InvalidData`."""
    return facts_key(file).replace(Category.ARTIFACT_METADATA.value, "artifact_fence", 1)


def refused_key(file: FileName) -> str:
    """The SHA-256 of blocked bytes that the upstream has under a name."""
    return facts_key(file).replace(Category.ARTIFACT_METADATA.value, "refused_bytes", 1)


def head_key(protocol: str, identity: str) -> str:
    """Key of an index page's head. Raises `InvalidData`."""
    if ":v:" in identity:  # would meet another page's variant
        raise InvalidData("an index identity must not hold ':v:'")
    return cache_key(Category.PACKAGE_INDEX, protocol, identity)


def in_view(view: str, identity: str) -> str:
    """The identity of a page as a view shows it: "" of none, the page's own."""
    return f"{view}|{identity}" if view else identity


def variant_key(head: str, variant: str) -> str:
    """Key of one finished body beside its head. Raises `InvalidData`."""
    if not variant.isprintable() or " " in variant or not variant:
        raise InvalidData("a variant's name holds characters that cannot be stored")
    return f"{head}:v:{variant}"


def revision_key(protocol: str) -> str:
    """Key of the revision of a protocol's upstream sources (decimal)."""
    return cache_key(Category.UPSTREAM_SOURCES, protocol, "revision")


def breaker_key(protocol: str, source_id: int, name: str = "index") -> str:
    """Key of one of a source's breakers. The one of `index` has the key that older services know."""
    suffix = "" if name == "index" else f":{name}"
    return cache_key(Category.UPSTREAM_SOURCES, protocol, f"breaker:{source_id}{suffix}")


def pause_key(protocol: str, source_id: int, name: str = "index") -> str:
    """Key that exists while no request may be sent: a breaker's pause, or the time given to its probe."""
    return cache_key(Category.UPSTREAM_SOURCES, protocol, f"pause:{source_id}:{name}")


def breakers_key(protocol: str, source_id: int) -> str:
    """Key of the set of names of a source's open breakers."""
    return cache_key(Category.UPSTREAM_SOURCES, protocol, f"breakers:{source_id}")


def installation_key(protocol: str, source_id: int) -> str:
    """Key of the Orchard that a source is."""
    return cache_key(Category.UPSTREAM_SOURCES, protocol, f"installation:{source_id}")


@lru_cache(maxsize=8192)
def index_keys(protocol: str, identity: str, variant: str) -> tuple[str, str, str]:
    """Keys of revision, head and variant ("" for none): what one read of a page asks for."""
    head = head_key(protocol, identity)
    return revision_key(protocol), head, variant_key(head, variant) if variant else ""


# --- variants ---------------------------------------------------------------------------------------


def address_mark(base_url: str) -> str:
    """A hash of a base URL for names and entity tags: 16 hex digits."""
    return sha256(base_url.encode()).hexdigest()[:16]


def variant_name(representation: str, coding: str, base_url: str = "") -> str:
    """The name of one body. `base_url` "": bodies of this page are the same for every address."""
    return f"{representation}.{coding}.{address_mark(base_url)}" if base_url else f"{representation}.{coding}"


def coding_of(variant: str) -> str:
    """The content-coding of a body."""
    return variant.split(".", 2)[1]


def unaddressed(variants: Iterable[str], base_url: str = "") -> frozenset[str]:
    """`{representation}.{coding}` of those that were rendered for this base URL; "": for every address."""
    ending = f".{address_mark(base_url)}" if base_url else ""
    plain = (name.removesuffix(ending) for name in variants if name.endswith(ending))
    return frozenset(name for name in plain if name.count(".") == 1)
