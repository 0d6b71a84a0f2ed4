"""The statements over sealed builds in PostgreSQL."""

from __future__ import annotations

# $1: id, $2: session, $3: object keys.
STORE = """
WITH made AS (
    INSERT INTO builds (id, session) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING RETURNING id
)
INSERT INTO build_objects (key, build)
SELECT DISTINCT t.key, made.id FROM made, unnest($3::text[]) AS t(key) ORDER BY 1
"""
SEALED = "SELECT session FROM builds WHERE id = $1"
