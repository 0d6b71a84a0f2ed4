"""The statements of `AdminRepository`. $1 is the actor, $2 the request; each writes its audit line too."""

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

# Whoever has a pin has had sources, hence a revision.
LIST_PINS = """
WITH found AS (
    SELECT r.protocol, p.project FROM source_revisions r CROSS JOIN LATERAL (
        SELECT project FROM project_pins
        WHERE protocol = r.protocol AND project COLLATE "C" >= $2 AND project COLLATE "C" < $2 || chr(1114111)
            AND (r.protocol > $3 OR project COLLATE "C" > $4)
        ORDER BY project COLLATE "C" LIMIT $5
    ) p
    WHERE ($1 = '' OR r.protocol = $1) AND r.protocol >= $3
    UNION
    (SELECT DISTINCT protocol, project COLLATE "C" FROM shared_pins
     WHERE ($1 = '' OR protocol = $1) AND starts_with(project, $2)
        AND (protocol > $3 OR protocol = $3 AND project COLLATE "C" > $4)
     ORDER BY 1, 2 LIMIT $5)
    ORDER BY 1, 2 LIMIT $5
)
SELECT f.protocol, f.project, p.source_id, p.sources[1] AS source, p.sources, p.pinned_at
FROM found f CROSS JOIN LATERAL (
    SELECT (array_agg(e.source_id ORDER BY s.priority, s.id))[1] AS source_id,
        array_agg(coalesce(s.name, '') ORDER BY s.priority, s.id) AS sources,
        max(extract(epoch FROM e.pinned_at)::float8) AS pinned_at
    FROM (
        SELECT source_id, pinned_at FROM project_pins WHERE protocol = f.protocol AND project = f.project
        UNION ALL
        SELECT source_id, pinned_at FROM shared_pins WHERE protocol = f.protocol AND project = f.project
    ) e LEFT JOIN upstream_sources s ON s.id = e.source_id
) p
ORDER BY 1, 2
"""

# Either one row in project_pins or several in shared_pins. `$6`: the beginning of the names that a group's
# pin stands for; their own pins give way to it.
SET_PIN = """
WITH wanted AS (
    SELECT id, name FROM upstream_sources WHERE protocol = $3 AND name = ANY ($5::text[])
), complete AS (
    SELECT count(*) AS many FROM wanted HAVING count(*) = cardinality($5::text[])
), before AS (
    SELECT source_id FROM project_pins WHERE protocol = $3 AND project = $4
    UNION SELECT source_id FROM shared_pins WHERE protocol = $3 AND project = $4
), one AS (
    INSERT INTO project_pins (protocol, project, source_id)
    SELECT $3, $4, id FROM wanted, complete WHERE many = 1
    ON CONFLICT (protocol, project) DO UPDATE SET source_id = excluded.source_id, pinned_at = now()
), several AS (
    INSERT INTO shared_pins (protocol, project, source_id)
    SELECT $3, $4, id FROM wanted, complete WHERE many > 1
    ON CONFLICT DO NOTHING
), no_longer_one AS (
    DELETE FROM project_pins p USING complete, (
        SELECT $4 AS project
        UNION ALL
        SELECT project FROM project_pins WHERE $6 <> '' AND protocol = $3 AND project <> $4
            AND project COLLATE "C" >= $6 AND project COLLATE "C" < $6 || chr(1114111)
    ) gone
    WHERE p.protocol = $3 AND p.project = gone.project AND (p.project <> $4 OR many > 1)
), no_longer_several AS (
    DELETE FROM shared_pins p USING complete
    WHERE protocol = $3 AND (
        project = $4 AND (many = 1 OR NOT EXISTS (SELECT FROM wanted w WHERE w.id = p.source_id))
        OR $6 <> '' AND project <> $4 AND starts_with(project, $6))
), noted AS (
    INSERT INTO audit (who, request_id, action, target, before, after)
    SELECT $1, $2, 'pin.set', $3 || '/' || $4,
        jsonb_build_object('source_ids', (SELECT coalesce(jsonb_agg(source_id), '[]') FROM before)),
        jsonb_build_object('source_ids', (SELECT jsonb_agg(id) FROM wanted))
    FROM complete
)
SELECT many FROM complete
"""

DROP_PIN = """
WITH one AS (
    DELETE FROM project_pins WHERE protocol = $3 AND project = $4 RETURNING source_id
), several AS (
    DELETE FROM shared_pins WHERE protocol = $3 AND project = $4 RETURNING source_id
), gone AS (
    SELECT jsonb_agg(source_id) AS ids
    FROM (SELECT source_id FROM one UNION ALL SELECT source_id FROM several) e HAVING count(*) > 0
), noted AS (
    INSERT INTO audit (who, request_id, action, target, before)
    SELECT $1, $2, 'pin.delete', $3 || '/' || $4, jsonb_build_object('source_ids', ids) FROM gone
)
SELECT ids FROM gone
"""

PAGES_OF = """
SELECT identity FROM index_documents WHERE protocol = $1 AND project = $2 AND position('#' IN identity) = 0
"""

# $3: the beginning of a group's names.
FORGET_ABSENCES = """
DELETE FROM absences a USING (
    SELECT identity FROM absences WHERE protocol = $1 AND project = $2
    UNION ALL
    SELECT identity FROM absences
    WHERE $3 <> '' AND protocol = $1 AND project <> $2 AND starts_with(project, $3)
) gone
WHERE a.protocol = $1 AND a.identity = gone.identity RETURNING a.identity
"""

NOTE = "INSERT INTO audit (who, request_id, action, target, after) VALUES ($1, $2, $3, $4, $5::jsonb)"
# Of a question that goes on over pages: unless the same person's same question is among the last $6 lines.
NOTE_ONCE = """
INSERT INTO audit (who, request_id, action, target, after)
SELECT $1, $2, $3, $4, $5::jsonb WHERE NOT EXISTS (
    SELECT FROM audit WHERE id > (SELECT coalesce(max(id), 0) FROM audit) - $6::bigint
        AND who = $1 AND action = $3 AND target = $4 AND after = $5::jsonb)
"""

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

LIST_EXEMPTIONS = """
SELECT id, protocol, name, version, coalesce(encode(sha256, 'hex'), '') AS sha256, reason,
    extract(epoch FROM expires_at)::float8 AS expires_at,
    extract(epoch FROM created_at)::float8 AS created_at, created_by, covers_malware
FROM exemptions ORDER BY id
"""

ADD_EXEMPTION = """
WITH made AS (
    INSERT INTO exemptions (protocol, name, version, sha256, reason, expires_at, created_by, covers_malware)
    SELECT $3, $4, $5, $6::bytea, $7, to_timestamp($8::float8), $1, $10
    WHERE (SELECT count(*) FROM exemptions) < $9
    ON CONFLICT DO NOTHING
    RETURNING id, protocol, name, version, coalesce(encode(sha256, 'hex'), '') AS sha256, reason,
        extract(epoch FROM expires_at)::float8 AS expires_at,
        extract(epoch FROM created_at)::float8 AS created_at, created_by, covers_malware
), noted AS (
    INSERT INTO audit (who, request_id, action, target, after)
    SELECT $1, $2, 'exemption.create',
        coalesce(nullif(sha256, ''), concat_ws('/', protocol, name, nullif(version, ''))), to_jsonb(made)
    FROM made
)
SELECT * FROM made
"""

DROP_EXEMPTION = """
WITH gone AS (
    DELETE FROM exemptions WHERE id = $3
    RETURNING id, protocol, name, version, coalesce(encode(sha256, 'hex'), '') AS sha256, reason, expires_at,
        created_by, covers_malware
), noted AS (
    INSERT INTO audit (who, request_id, action, target, before)
    SELECT $1, $2, 'exemption.delete',
        coalesce(nullif(sha256, ''), concat_ws('/', protocol, name, nullif(version, ''))), to_jsonb(gone)
    FROM gone
)
SELECT id FROM gone
"""

LIST_ACCESS = """
SELECT id, name, scope, extract(epoch FROM created_at)::float8 AS created_at, created_by,
    extract(epoch FROM last_used_at)::float8 AS last_used_at, owner, bounds::text AS bounds
FROM access_tokens ORDER BY id
"""

ADD_ACCESS = """
WITH made AS (
    INSERT INTO access_tokens (name, scope, digest, created_by, owner, bounds)
    SELECT $3, $4, $5::bytea, $1, $6, $7::jsonb WHERE (SELECT count(*) FROM access_tokens) < $8
    ON CONFLICT (name) DO NOTHING
    RETURNING id, name, scope, owner, bounds
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

ROTATE_ACCESS = """
WITH made AS (
    UPDATE access_tokens SET digest = $4::bytea, bounds = $5::jsonb WHERE id = $3
    RETURNING id, name, scope, bounds
), noted AS (
    INSERT INTO audit (who, request_id, action, target, after)
    SELECT $1, $2, 'token.rotate', name, to_jsonb(made) FROM made
)
SELECT name, scope FROM made
"""

LIST_TRUST = """
SELECT id, (rule || jsonb_build_object('id', id::text, 'name', name))::text AS rule,
    extract(epoch FROM created_at)::float8 AS created_at, created_by
FROM trust_rules ORDER BY id
"""

ADD_TRUST = """
WITH made AS (
    INSERT INTO trust_rules (name, rule, created_by)
    SELECT $3, $4::jsonb, $1 WHERE (SELECT count(*) FROM trust_rules) < $5
    ON CONFLICT (name) DO NOTHING
    RETURNING id, name, rule
), noted AS (
    INSERT INTO audit (who, request_id, action, target, after)
    SELECT $1, $2, 'trust.create', name, to_jsonb(made) FROM made
)
SELECT id FROM made
"""

DROP_TRUST = """
WITH gone AS (
    DELETE FROM trust_rules WHERE id = $3 RETURNING id, name, rule
), noted AS (
    INSERT INTO audit (who, request_id, action, target, before)
    SELECT $1, $2, 'trust.delete', name, to_jsonb(gone) FROM gone
)
SELECT id FROM gone
"""

LIST_AUDIT = """
SELECT id, extract(epoch FROM at)::float8 AS at, who AS actor, action, target AS subject,
    before::text AS before, after::text AS after, request_id
FROM audit WHERE id < $1 ORDER BY id DESC LIMIT $2
"""
