"""A policy file, read with the names of all protocols and of the upstreams there are."""

from __future__ import annotations

from collections.abc import Mapping

from services.gateway.api.admin.popular import Popular
from shared.policy.named import NamedRule
from shared.policy.reading import read_policy
from shared.postgres.database import Database
from shared.protocols import PROTOCOLS

SourceNames = Mapping[str, frozenset[str]]
"""By protocol, of all there are: the names of the upstreams, paused ones too."""

_SOURCES = "SELECT protocol, name FROM upstream_sources"


async def source_names(database: Database) -> SourceNames:
    """Raises `DatabaseUnavailable`."""
    rows = await database.fetch(_SOURCES)
    return {
        each.name: frozenset(row["name"] for row in rows if row["protocol"] == each.name)
        for each in PROTOCOLS
    }


def read(text: str, popular: Popular, sources: SourceNames) -> list[NamedRule]:
    """See `read_policy`. Raises `InvalidParameter`."""
    return read_policy(text, {each.name: each.names for each in PROTOCOLS}, popular.of, sources)
