"""The statements over sealed builds in PostgreSQL."""

from __future__ import annotations

REMOVALS = 0x0_0C4A_4D1A
"""The advisory lock between who removes objects that no row names, and who names objects that lie here
already. Removers share it (`Database.sharing`) from their last look at the rows to the removal; who names
has it alone, from its look at the objects to its commit (`NO_REMOVALS`). So one of them sees the other."""
NO_REMOVALS = "SELECT pg_advisory_xact_lock($1)"

# $1: id, $2: session, $3: object keys.
STORE = """
WITH made AS (
    INSERT INTO builds (id, session) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING RETURNING id
)
INSERT INTO build_objects (key, build)
SELECT DISTINCT t.key, made.id FROM made, unnest($3::text[]) AS t(key) ORDER BY 1
"""
# $1: who, $2: request id, $3: id. What a build holds goes with its row.
REMOVE = """
WITH gone AS (
    DELETE FROM builds WHERE id = $3 RETURNING id, sealed_at
), noted AS (
    INSERT INTO audit (who, request_id, action, target, before)
    SELECT $1, $2, 'build.delete', id, to_jsonb(gone) FROM gone
)
SELECT id FROM gone
"""
# What was removed while it was being sealed. $1: id.
UNSEAL = "DELETE FROM builds WHERE id = $1"
SEALED = "SELECT session FROM builds WHERE id = $1"
# Of recorded builds: views of locks are rows as well, under the locks' keys (64 characters), and are told
# where their locks are.
_IS_BUILD = "octet_length(id) = 32"
# $1: object keys, $2: how many.
HOLDING = f"""
SELECT id, extract(epoch FROM sealed_at)::float8 AS at FROM builds
WHERE {_IS_BUILD} AND id IN (SELECT build FROM build_objects WHERE key = ANY($1::text[]))
ORDER BY sealed_at DESC, id LIMIT $2
"""  # noqa: S608 - of constants
# $1: microseconds of unix time, $2: id of the last that is known, $3: how many, the newest before that.
LATEST = f"""
SELECT session, id, (extract(epoch FROM sealed_at) * 1000000)::bigint AS us FROM builds
WHERE {_IS_BUILD} AND (sealed_at, id) < (to_timestamp(0) + $1 * interval '1 microsecond', $2)
ORDER BY sealed_at DESC, id DESC LIMIT $3
"""  # noqa: S608 - of constants

# The same of a lock, in the place of what was made of an older one under its key.
STORE_LOCK = """
WITH made AS (
    INSERT INTO builds (id, session) VALUES ($1, $2)
    ON CONFLICT (id) DO UPDATE SET session = EXCLUDED.session, sealed_at = now() RETURNING id
), gone AS (
    DELETE FROM build_objects WHERE build = $1 AND key <> ALL ($3::text[])
)
INSERT INTO build_objects (key, build)
SELECT t.key, made.id FROM made, unnest($3::text[]) AS t(key) ON CONFLICT DO NOTHING
"""
OF_LOCK = "SELECT encode(sha256(body), 'hex') AS sha256 FROM ensures WHERE key = $1"
