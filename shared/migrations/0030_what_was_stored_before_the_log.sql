-- Into the outbox, before all else (negative ids), in the order in which it was stored: files and changes from
-- before the triggers. What those have written since is there, since nothing is numbered before `collected`. In a
-- migration of its own: it holds up nobody's writes, however long it takes.
UPDATE log_state SET collected = true;

WITH known AS (
    SELECT kind, at, body ->> 'protocol' AS protocol, body ->> 'project' AS project, body ->> 'file_id' AS file_id,
        body ->> 'file' AS file, body ->> 'version' AS version, body #>> '{digests,sha256}' AS sha256 FROM log_outbox
), old AS (
    SELECT c.created_at AS at, 'admission' AS kind, log_admission(c) AS body FROM cached_urls c
    WHERE c.role <> 'provisional' AND NOT EXISTS (
        SELECT FROM known k WHERE k.kind = 'admission' AND k.at = c.created_at AND k.protocol = c.protocol
            AND k.project = c.project AND k.file_id = c.file_id AND k.file = c.filename)
    UNION ALL
    SELECT e.at, 'mutated', log_change(e) FROM events e
    WHERE e.kind = 'upstream_mutated' AND NOT EXISTS (
        SELECT FROM known k WHERE k.kind = 'mutated' AND k.at = e.at AND k.protocol = e.protocol
            AND k.project = e.project AND k.file = e.filename)
    UNION ALL
    SELECT b.created_at, 'block.set', jsonb_build_object('protocol', b.protocol, 'project', b.name, 'version', b.version)
        || CASE WHEN b.sha256 IS NULL THEN '{}'
           ELSE jsonb_build_object('digests', jsonb_build_object('sha256', encode(b.sha256, 'hex'))) END
    FROM blocks b WHERE NOT EXISTS (
        SELECT FROM known k WHERE k.kind = 'block.set' AND k.at = b.created_at AND k.protocol = b.protocol
            AND k.project = b.name AND k.version = b.version
            AND k.sha256 IS NOT DISTINCT FROM encode(b.sha256, 'hex'))
)
INSERT INTO log_outbox (id, at, kind, body)
SELECT row_number() OVER (ORDER BY at, body) - 1099511627776, at, kind, body FROM old;
