"""The Redis type of each family of keys; a key of another type is removed, and written anew.

All that lies in either Redis may be lost (docs/operations.md), so a value that no command can use is worth
less than none. Families that are not named here, such as those of a later version, are left alone.
"""

from __future__ import annotations

import re
from typing import Final

SCAN_COUNT: Final = 1000

FAMILIES: Final[tuple[tuple[str, str], ...]] = (
    ("^orchard:queue:[^:]+$", "zset"),
    ("^orchard:queue:[^:]+:tokens$", "list"),
    ("^orchard:queue:[^:]+:dead$", "list"),
    ("^orchard:queue:[^:]+:rates:", "hash"),
    ("^orchard:queue:[^:]+:health%-check$", "string"),
    ("^arq:job:", "string"),
    ("^arq:retry:", "string"),
    ("^orchard:claim:", "string"),
    ("^orchard:outcome:", "string"),
    ("^orchard:generation$", "hash"),
    ("^orchard:access$", "hash"),
    ("^orchard:advisories$", "hash"),
    ("^orchard:advisories:", "string"),
    ("^orchard:artifact_uses$", "zset"),
    ("^orchard:builds$", "zset"),
    ("^orchard:build:", "hash"),
    ("^orchard:servings$", "stream"),
    ("^orchard:servings:", "string"),
    ("^orchard:traffic:", "hash"),
    ("^orchard:session:", "string"),
    ("^orchard:grant:", "string"),
    ("^orchard:grants:", "string"),
    ("^orchard:issuer:", "string"),
    ("^orchard:health$", "zset"),
    ("^orchard:health:", "string"),
    ("^orchard:put:", "string"),
    ("^orchard:sweep:", "string"),
    ("^orchard:sweeper$", "string"),
    ("^orchard:sweeper:", "string"),
    ("^orchard:scrub:cursor$", "string"),
    ("^orchard:stored$", "list"),
    ("^orchard:artifact_metadata:", "string"),
    ("^orchard:artifact_fence:", "string"),
    ("^orchard:artifact_names:", "string"),
    ("^orchard:artifact_dependencies:", "string"),
    ("^orchard:dependency_resolution:", "string"),
    ("^orchard:upstream_sources:[^:]+:breakers:[^:]+$", "set"),
    ("^orchard:upstream_sources:", "string"),
    ("^orchard:package_index:", "string"),
    ("^orchard:package_versions:", "string"),
)
"""Lua pattern of the names, and the type; the first that matches counts."""

_PATTERNS = [(re.compile(pattern.replace("%", "")), kind) for pattern, kind in FAMILIES]


def type_of(key: str) -> str:
    """The type of a key's family; "" of none."""
    return next((kind for pattern, kind in _PATTERNS if pattern.search(key)), "")


MEND: Final = """
-- ARGV: cursor, count, then pattern and type of each family.  {next cursor, keys removed}
local page = redis.call('SCAN', ARGV[1], 'COUNT', ARGV[2])
local removed = 0
for _, key in ipairs(page[2]) do
  for i = 3, #ARGV, 2 do
    if string.find(key, ARGV[i]) then
      if redis.call('TYPE', key).ok ~= ARGV[i + 1] then removed = removed + redis.call('UNLINK', key) end
      break
    end
  end
end
return {page[1], removed}
"""


def mend_arguments(cursor: bytes) -> list[str | bytes | int]:
    """ARGV of one step of `MEND`."""
    return [cursor, SCAN_COUNT, *(part for family in FAMILIES for part in family)]
