"""The statements of `AdminRepository`. $1 is who does it, $2 the request; the audit's line comes with it."""

from __future__ import annotations

MOST = 10_000
"""Blocks, and tokens: every process holds all of them in memory."""

LIST_UPSTREAMS = """
SELECT shown_source(s)::text AS shown FROM upstream_sources s
WHERE ($1 = '' OR s.protocol = $1) AND ($2::bigint = 0 OR s.id = $2)
ORDER BY s.protocol, s.priority, s.id
"""

ADD_UPSTREAM = """
WITH made AS (
    INSERT INTO upstream_sources AS s
        (protocol, name, url, priority, enabled, allow_private, include, exclude, allowed_hosts, options,
         sealed)
    VALUES ($3, $4, $5, $6, $7, $8, $9::text[], $10::text[], $11::text[], $12::jsonb, $13)
    ON CONFLICT (protocol, name) DO NOTHING
    RETURNING shown_source(s) AS shown
), noted AS (
    INSERT INTO audit (who, request_id, action, target, after)
    SELECT $1, $2, 'upstream.create', $3 || '/' || $4, shown FROM made
)
SELECT shown::text FROM made
"""

# $13: the URL that the change was made for. Credentials are sealed for its origin, so another one by then
# must not get them.
CHANGE_UPSTREAM = """
WITH old AS (
    SELECT s.id, shown_source(s) AS shown FROM upstream_sources s WHERE s.id = $3 AND s.url = $13 FOR UPDATE
), changed AS (
    UPDATE upstream_sources AS s
    SET enabled = coalesce($4::bool, s.enabled),
        priority = coalesce($5::int, s.priority),
        url = coalesce($6::text, s.url),
        allow_private = coalesce($7::bool, s.allow_private),
        include = coalesce($8::text[], s.include),
        exclude = coalesce($9::text[], s.exclude),
        allowed_hosts = coalesce($10::text[], s.allowed_hosts),
        options = coalesce($11::jsonb, s.options),
        sealed = coalesce($12::text, s.sealed),
        username = CASE WHEN $12::text IS NULL THEN s.username ELSE '' END,
        password = CASE WHEN $12::text IS NULL THEN s.password ELSE '' END
    FROM old WHERE s.id = old.id
    RETURNING shown_source(s) AS shown, s.protocol, s.name
), noted AS (
    INSERT INTO audit (who, request_id, action, target, before, after)
    SELECT $1, $2, 'upstream.change', c.protocol || '/' || c.name, old.shown,
        c.shown || CASE WHEN $12::text IS NULL THEN '{}'::jsonb ELSE '{"credentials": "replaced"}'::jsonb END
    FROM changed c, old
)
SELECT shown::text FROM changed
"""

DROP_UPSTREAM = """
WITH gone AS (
    DELETE FROM upstream_sources AS s WHERE s.id = $3 AND (s.origin <> 'env' OR s.position IS NULL)
    RETURNING shown_source(s) AS shown, s.protocol, s.name
), noted AS (
    INSERT INTO audit (who, request_id, action, target, before)
    SELECT $1, $2, 'upstream.delete', protocol || '/' || name, shown FROM gone
)
SELECT shown::text FROM gone
"""

LIST_PINS = """
SELECT p.protocol, p.project, p.source_id, coalesce(s.name, '') AS source,
    extract(epoch FROM p.pinned_at)::float8 AS pinned_at
FROM project_pins p LEFT JOIN upstream_sources s ON s.id = p.source_id
WHERE ($1 = '' OR p.protocol = $1) AND starts_with(p.project, $2) AND (p.protocol, p.project) > ($3, $4)
ORDER BY p.protocol, p.project LIMIT $5
"""

DROP_PIN = """
WITH gone AS (
    DELETE FROM project_pins WHERE protocol = $3 AND project = $4 RETURNING source_id
), noted AS (
    INSERT INTO audit (who, request_id, action, target, before)
    SELECT $1, $2, 'pin.delete', $3 || '/' || $4, jsonb_build_object('source_id', source_id) FROM gone
)
SELECT source_id FROM gone
"""

PAGES_OF = """
SELECT identity FROM index_documents WHERE protocol = $1 AND project = $2 AND position('#' IN identity) = 0
"""

NOTE = "INSERT INTO audit (who, request_id, action, target, after) VALUES ($1, $2, $3, $4, $5::jsonb)"

LIST_BLOCKS = """
SELECT id, protocol, name, version, coalesce(encode(sha256, 'hex'), '') AS sha256, reason,
    extract(epoch FROM created_at)::float8 AS created_at, created_by
FROM blocks ORDER BY id
"""

ADD_BLOCK = """
WITH made AS (
    INSERT INTO blocks (protocol, name, version, sha256, reason, created_by)
    SELECT $3, $4, $5, $6::bytea, $7, $1 WHERE (SELECT count(*) FROM blocks) < $8
    ON CONFLICT DO NOTHING
    RETURNING id, protocol, name, version, coalesce(encode(sha256, 'hex'), '') AS sha256, reason,
        extract(epoch FROM created_at)::float8 AS created_at, created_by
), noted AS (
    INSERT INTO audit (who, request_id, action, target, after)
    SELECT $1, $2, 'block.create',
        coalesce(nullif(sha256, ''), concat_ws('/', protocol, name, nullif(version, ''))), to_jsonb(made)
    FROM made
)
SELECT * FROM made
"""

DROP_BLOCK = """
WITH gone AS (
    DELETE FROM blocks WHERE id = $3
    RETURNING id, protocol, name, version, coalesce(encode(sha256, 'hex'), '') AS sha256, reason, created_by
), noted AS (
    INSERT INTO audit (who, request_id, action, target, before)
    SELECT $1, $2, 'block.delete',
        coalesce(nullif(sha256, ''), concat_ws('/', protocol, name, nullif(version, ''))), to_jsonb(gone)
    FROM gone
)
SELECT id FROM gone
"""

LIST_ACCESS = """
SELECT id, name, scope, extract(epoch FROM created_at)::float8 AS created_at, created_by,
    extract(epoch FROM last_used_at)::float8 AS last_used_at
FROM access_tokens ORDER BY id
"""

ADD_ACCESS = """
WITH made AS (
    INSERT INTO access_tokens (name, scope, digest, created_by)
    SELECT $3, $4, $5::bytea, $1 WHERE (SELECT count(*) FROM access_tokens) < $6
    ON CONFLICT (name) DO NOTHING
    RETURNING id, name, scope
), noted AS (
    INSERT INTO audit (who, request_id, action, target, after)
    SELECT $1, $2, 'token.create', name, to_jsonb(made) FROM made
)
SELECT id FROM made
"""

DROP_ACCESS = """
WITH gone AS (
    DELETE FROM access_tokens WHERE id = $3 RETURNING id, name, scope
), noted AS (
    INSERT INTO audit (who, request_id, action, target, before)
    SELECT $1, $2, 'token.delete', name, to_jsonb(gone) FROM gone
)
SELECT id FROM gone
"""

LIST_AUDIT = """
SELECT id, extract(epoch FROM at)::float8 AS at, who AS actor, action, target AS subject,
    before::text AS before, after::text AS after, request_id
FROM audit WHERE id < $1 ORDER BY id DESC LIMIT $2
"""
