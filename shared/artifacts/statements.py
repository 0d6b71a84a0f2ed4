"""The statements of `ArtifactRepository`. Each is one round trip; batches arrive as columns (unnest).

Upserts here follow one pattern (ARCHITECTURE.md "State"): ON CONFLICT DO NOTHING, then read what stands. A
statement does not see rows that others committed after it began, so in a race the read comes back
empty: the repository runs the same statement again for those keys, and now finds them. Rows are
inserted in key order, or concurrent batches would deadlock.
"""

from __future__ import annotations

from shared.models import AHEAD_SECONDS

# A `StoredFile`: `stored_file_of` reads it.
_STORED = """a.sha256, a.size_bytes, a.content_type, a.object_key, c.filename, c.digests::text AS digests,
       extract(epoch FROM c.created_at)::float8 AS created_at,
       coalesce(extract(epoch FROM c.upstream_modified), 0)::float8 AS modified, c.headers::text AS headers,
       c.role = 'provisional' AS provisional,
       coalesce(extract(epoch FROM c.published), 0)::float8 AS published, c.judged"""

LOOKUP = f"""
SELECT {_STORED}
FROM cached_urls c JOIN artifacts a ON a.sha256 = c.sha256
WHERE c.protocol = $1 AND c.project = $2 AND c.file_id = $3 AND c.filename = $4
"""  # noqa: S608 - of constants

# Names of stored files by a digest of their bytes, the first stored first. Other digests than SHA256 are kept
# where their protocol asks for them.
_NAMES = """
SELECT protocol, project, file_id, filename FROM cached_urls
WHERE {which} AND role <> 'provisional' ORDER BY created_at, protocol, project, file_id, filename LIMIT $2
"""
NAMES_BY_DIGEST = {
    "sha256": _NAMES.format(which="sha256 = decode($1, 'hex')"),
    "sha512": _NAMES.format(which="digests ->> 'sha512' = $1"),
    "sha1": _NAMES.format(which="digests ->> 'sha1' = $1"),
}

# The same for many: columns position, protocol, project, file_id, filename.
LOOKUP_MANY = f"""
SELECT i.at, {_STORED}
FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::text[])
         AS i(at, protocol, project, file_id, filename)
     JOIN cached_urls c USING (protocol, project, file_id, filename)
     JOIN artifacts a ON a.sha256 = c.sha256
"""  # noqa: S608 - of constants

# Columns: position, protocol, project, file_id, filename, sha256, size, content type, object key,
# generation, source, upstream URL, role, digests, unix seconds of Last-Modified (0: unknown), headers, unix
# seconds when it counts as published (0: unknown), what the policy file came to, what the bytes were compared
# with (null: nothing). The
# `true = ALL (…)` conditions order the inserts: package, artifact, URL; every statement takes its locks in
# that order.
STORE = """
WITH input AS (
    SELECT * FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[],
                         $7::bigint[], $8::text[], $9::text[], $10::bigint[], $11::bigint[],
                         $12::text[], $13::text[], $14::text[], $15::float8[], $16::text[],
                         $17::float8[], $18::text[], $19::text[])
        AS t(at, protocol, project, file_id, filename, sha256, size_bytes, content_type, object_key,
             generation, source_id, upstream_url, role, digests, modified, headers, published, judged,
             checked)
), standing AS (
    SELECT i.at, c.* FROM input i JOIN cached_urls c USING (protocol, project, file_id, filename)
), fresh AS (
    SELECT i.* FROM input i WHERE NOT EXISTS (SELECT FROM standing s WHERE s.at = i.at)
), new_owners AS (
    INSERT INTO projects (name, system)
    SELECT DISTINCT '_' || f.protocol, true FROM fresh f
    WHERE NOT EXISTS (SELECT FROM projects p WHERE p.name = '_' || f.protocol)
    ON CONFLICT DO NOTHING
), new_packages AS (
    INSERT INTO packages (protocol, name, owner)
    SELECT DISTINCT protocol, project, '_' || protocol FROM fresh
    ORDER BY 1, 2
    ON CONFLICT DO NOTHING
    RETURNING true AS done
), new_artifacts AS (
    INSERT INTO artifacts (sha256, size_bytes, content_type, object_key, extraction_state, extraction_reason)
    SELECT DISTINCT ON (sha256) sha256, size_bytes, content_type, object_key,
           CASE role WHEN 'file' THEN 'pending' ELSE 'unknown' END,
           CASE role WHEN 'file' THEN '' ELSE 'a metadata document' END
    FROM fresh
    WHERE true = ALL (SELECT done FROM new_packages)
    ORDER BY sha256, role
    ON CONFLICT DO NOTHING
    RETURNING sha256, size_bytes, content_type, object_key
), new_urls AS (
    INSERT INTO cached_urls
        (protocol, project, file_id, filename, sha256, role, generation, source_id, upstream_url, digests,
         upstream_modified, headers, published, judged, checked)
    SELECT protocol, project, file_id, filename, sha256, role, generation, source_id, upstream_url,
           digests::jsonb, to_timestamp(nullif(modified, 0)), headers::jsonb,
           to_timestamp(nullif(published, 0)), judged, checked::jsonb
    FROM fresh
    WHERE true = ALL (SELECT true FROM new_artifacts)
    ORDER BY protocol, project, file_id, filename
    ON CONFLICT DO NOTHING
    RETURNING *
), result AS (
    SELECT f.at, n.sha256, n.filename, n.role, n.created_at, n.digests, n.upstream_modified, n.headers,
           n.published, n.judged
    FROM new_urls n JOIN fresh f USING (protocol, project, file_id, filename)
    UNION ALL
    SELECT at, sha256, filename, role, created_at, digests, upstream_modified, headers, published, judged
    FROM standing
)
SELECT r.at, r.sha256, r.filename, r.role = 'provisional' AS provisional, r.digests::text AS digests,
       extract(epoch FROM r.created_at)::float8 AS created_at,
       coalesce(extract(epoch FROM r.upstream_modified), 0)::float8 AS modified, r.headers::text AS headers,
       coalesce(extract(epoch FROM r.published), 0)::float8 AS published, r.judged,
       coalesce(o.size_bytes, n.size_bytes, i.size_bytes) AS size_bytes,
       coalesce(o.content_type, n.content_type, i.content_type) AS content_type,
       coalesce(o.object_key, n.object_key, i.object_key) AS object_key
FROM result r
LEFT JOIN artifacts o USING (sha256)      -- was there before this statement
LEFT JOIN new_artifacts n USING (sha256)  -- made by it
JOIN input i ON i.at = r.at               -- made by a racing one: equal hash, equal object
"""

# Puts what a file really holds in the place of what was read before it was stored: its name ($1…$4), sha256,
# size, content type, object key, generation. Nothing, unless that is what stands.
PIN_METADATA = """
WITH made AS (
    INSERT INTO artifacts (sha256, size_bytes, content_type, object_key, extraction_state, extraction_reason)
    VALUES ($5, $6, $7, $8, 'unknown', 'a metadata document')
    ON CONFLICT DO NOTHING
    RETURNING true AS done
)
UPDATE cached_urls SET sha256 = $5, role = 'metadata', generation = $9, created_at = clock_timestamp()
WHERE protocol = $1 AND project = $2 AND file_id = $3 AND filename = $4 AND role = 'provisional'
    AND true = ALL (SELECT done FROM made)
RETURNING extract(epoch FROM created_at)::float8 AS created_at
"""

# Takes away what was read of a file that holds nothing of the kind.
DROP_PROVISIONAL = """
DELETE FROM cached_urls
WHERE protocol = $1 AND project = $2 AND file_id = $3 AND filename = $4 AND role = 'provisional'
RETURNING extract(epoch FROM created_at)::float8 AS created_at
"""

# Columns of extractions ($1…$7), then of dependencies ($8…$16). `locked` takes the rows in key order
# and leaves out what is final; whoever comes second sees `extracted` and changes nothing. `surplus` asks
# for the state before, so that a first extraction never looks for old rows: with a plan kept from when
# the table was small that look is a scan of all of it (2 ms rose to 19 within 1,200 artifacts).
STORE_EXTRACTIONS = """
WITH input AS (
    SELECT * FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
        AS t(sha256, state, reason, name, version, requires_python, extras)
), wanted AS (
    SELECT * FROM unnest($8::bytea[], $9::int[], $10::text[], $11::text[], $12::text[], $13::text[],
                         $14::text[], $15::bool[], $16::text[])
        AS t(sha256, position, requirement, name, specifier, marker, extras, optional, kind)
), locked AS (
    SELECT sha256, extraction_state AS before FROM artifacts
    WHERE sha256 = ANY ($1) AND extraction_state <> 'extracted'
    ORDER BY sha256 FOR NO KEY UPDATE
), updated AS (
    UPDATE artifacts a
    SET extraction_state = i.state, extraction_reason = i.reason, name = i.name, version = i.version,
        requires_python = i.requires_python, extras = string_to_array(i.extras, E'\\x1f')
    FROM input i JOIN locked l USING (sha256)
    WHERE a.sha256 = i.sha256
    RETURNING a.sha256, l.before
), surplus AS (
    DELETE FROM artifact_dependencies d USING updated u
    WHERE d.sha256 = u.sha256 AND u.before <> 'pending'
      AND NOT EXISTS (SELECT FROM wanted w WHERE w.sha256 = d.sha256 AND w.position = d.position)
), dependencies AS (
    INSERT INTO artifact_dependencies
        (sha256, position, requirement, name, specifier, marker, extras, optional, kind)
    SELECT w.sha256, w.position, w.requirement, w.name, w.specifier, w.marker,
           string_to_array(w.extras, E'\\x1f'), w.optional, w.kind
    FROM wanted w JOIN updated u USING (sha256)
    ORDER BY w.sha256, w.position
    ON CONFLICT (sha256, position) DO UPDATE SET
        requirement = excluded.requirement, name = excluded.name, specifier = excluded.specifier,
        marker = excluded.marker, extras = excluded.extras, optional = excluded.optional,
        kind = excluded.kind
)
SELECT sha256 FROM updated
"""

EXTRACTION = """
SELECT a.extraction_state, a.extraction_reason, a.name AS artifact_name, a.version, a.requires_python,
       a.extras AS artifact_extras, d.position, d.requirement, d.name, d.specifier, d.marker, d.extras,
       d.optional, d.kind
FROM artifacts a LEFT JOIN artifact_dependencies d USING (sha256)
WHERE a.sha256 = $1
ORDER BY d.position
"""

# A file with its project, file id and filename ($2…$4), the filename of its metadata ($5, "": none) and the
# index that lists it ($6).
STANDING_FILE = f"""
SELECT {_STORED}, a.extraction_state AS state,
       coalesce(m.role = 'metadata', false) AS has_metadata,
       CASE m.role WHEN 'provisional' THEN m.sha256 END AS provisional_sha256,
       (SELECT document_key FROM index_documents WHERE protocol = $1 AND identity = $6) AS document_key
FROM cached_urls c JOIN artifacts a ON a.sha256 = c.sha256
LEFT JOIN cached_urls m ON m.protocol = $1 AND m.project = $2 AND m.file_id = $3 AND m.filename = $5
WHERE c.protocol = $1 AND c.project = $2 AND c.file_id = $3 AND c.filename = $4
"""  # noqa: S608 - of constants

_SEALED = """
FROM cached_urls c
JOIN artifacts a ON a.sha256 = c.sha256
LEFT JOIN cached_urls m ON m.protocol = c.protocol AND m.project = c.project AND m.file_id = c.file_id
     AND m.role = 'metadata' AND starts_with(m.filename, c.filename)
"""

SEALED_FILES = f"""
SELECT c.project, c.filename, c.file_id, c.sha256, a.size_bytes, m.sha256 AS metadata_sha256,
       c.digests::text AS digests, extract(epoch FROM c.created_at)::float8 AS stored_at,
       coalesce(extract(epoch FROM c.published), 0)::float8 AS published, c.judged,
       a.licence
{_SEALED} WHERE c.protocol = $1 AND c.project = ANY($2::text[]) AND c.role = 'file'
ORDER BY c.project, c.filename, c.file_id
"""  # noqa: S608 - of constants

STORED_DOCUMENT = """
SELECT protocol, identity, source_id, generation, document_key,
       extract(epoch FROM fetched_at)::float8 AS fetched_at, upstream_etag, upstream_last_modified,
       coalesce(extract(epoch FROM gone_at), 0)::float8 AS gone_at,
       coalesce(extract(epoch FROM doubted_at), 0)::float8 AS doubted_at
FROM index_documents WHERE protocol = $1 AND identity = $2
"""

# A generation is the time of its claim. One that no clock has reached, beside a writer whose own is
# possible, was given by a clock that was wrong: it must not keep everybody out until then.
_POSSIBLE = f"((extract(epoch FROM now()) + {AHEAD_SECONDS}) * 1000000)"


def is_newer(column: str, own: str) -> str:
    """SQL: whether the generation in `column` keeps out a writer of the generation `own`."""
    return f"({column} > {own} AND ({column} <= {_POSSIBLE} OR {own} > {_POSSIBLE}))"


# The pin's no-op update makes it return the row that stands, in a race too; the document is written
# only if that pin is to its source or one of the same owner ($11), and only over an older generation. A
# project that an operator (or the migration) gave several sources gets no pin beside those.
_KEEPS_OUT = is_newer("generation", "$5::bigint")

STORE_DOCUMENT = f"""
WITH pin AS (
    INSERT INTO project_pins AS p (protocol, project, source_id)
    SELECT $1::text, $3::text, $4::bigint
    WHERE $3 <> '' AND $10::bool AND NOT EXISTS (
        SELECT FROM index_documents WHERE protocol = $1 AND identity = $2 AND {_KEEPS_OUT})
      AND NOT EXISTS (SELECT FROM shared_pins WHERE protocol = $1 AND project = $3)
    ON CONFLICT (protocol, project) DO UPDATE SET source_id = p.source_id
    RETURNING source_id
), not_absent AS (
    DELETE FROM absences WHERE protocol = $1 AND identity = $2
)
INSERT INTO index_documents AS d
    (protocol, identity, project, source_id, generation, document_key, fetched_at, upstream_etag,
     upstream_last_modified)
SELECT $1, $2::text, $3, $4, $5::bigint, $6::text, to_timestamp($7::float8), $8::text, $9::text
WHERE NOT EXISTS (SELECT FROM pin WHERE source_id <> ALL ($11::bigint[]))
ON CONFLICT (protocol, identity) DO UPDATE SET
    project = excluded.project, source_id = excluded.source_id, generation = excluded.generation,
    document_key = excluded.document_key, fetched_at = excluded.fetched_at,
    upstream_etag = excluded.upstream_etag, upstream_last_modified = excluded.upstream_last_modified,
    gone_at = NULL, doubted_at = NULL
WHERE NOT {is_newer("d.generation", "$5::bigint")}
RETURNING true
"""  # noqa: S608 - of constants

MARK_GONE = f"""
UPDATE index_documents SET gone_at = coalesce(gone_at, now()), doubted_at = NULL, generation = $3
WHERE protocol = $1 AND identity = $2 AND NOT {is_newer("generation", "$3::bigint")}
"""  # noqa: S608 - of constants

PINNED_SOURCES = """
SELECT project, source_id FROM project_pins WHERE protocol = $1 AND project = ANY($2::text[])
UNION ALL
SELECT project, source_id FROM shared_pins WHERE protocol = $1 AND project = ANY($2::text[])
"""

# All that is known of an index and of its project ($3; $4: the names that it may be pinned under).
INDEX_STATE = f"""
SELECT (SELECT row_to_json(d)::text FROM ({STORED_DOCUMENT}) d) AS document,
       (SELECT json_agg(json_build_array(p.project, p.source_id))::text
        FROM (SELECT project, source_id FROM project_pins WHERE protocol = $1 AND project = ANY($4::text[])
              UNION ALL
              SELECT project, source_id FROM shared_pins WHERE protocol = $1 AND project = ANY($4::text[])
             ) p) AS pins,
       (SELECT json_agg(json_build_object(
            'filename', c.filename, 'file_id', c.file_id, 'sha256', encode(c.sha256, 'hex'),
            'size_bytes', a.size_bytes, 'metadata_sha256', coalesce(encode(m.sha256, 'hex'), ''),
            'digests', c.digests, 'stored_at', extract(epoch FROM c.created_at)::float8,
            'published', coalesce(extract(epoch FROM c.published), 0)::float8, 'judged', c.judged,
            'licence', a.licence)
            ORDER BY c.filename, c.file_id)::text
        {_SEALED} WHERE c.protocol = $1 AND c.project = $3 AND c.role = 'file') AS sealed
"""  # noqa: S608 - of constants

DATE_FILE = """
UPDATE cached_urls SET published = to_timestamp(nullif($5, 0)), judged = $6
WHERE protocol = $1 AND project = $2 AND file_id = $3 AND filename = $4
"""

FIRST_SEEN = """
SELECT seen FROM first_seen WHERE protocol = $1 AND project = $2
"""

SEEN_AND_EVIDENCE = """
SELECT seen, (
    SELECT json_object_agg(
        digest,
        json_build_array(status, json_build_array(kind, repository, workflow), why, root, signature))
    FROM provenances WHERE protocol = $1 AND project = $2
)::text AS evidence, (
    SELECT json_agg(json_build_array(entry, filename, sha256, status, signer, why, mark))
    FROM signed_files WHERE protocol = $1 AND project = $2
)::text AS signatures FROM first_seen WHERE protocol = $1 AND project = $2
"""

# Nobody's knowing (unknown) takes nothing away: not what was verified, and, of what could not be looked at
# (without a reason), not what was false.
STORE_EVIDENCE = """
INSERT INTO provenances AS p
    (protocol, project, digest, status, kind, repository, workflow, why, root, signature)
SELECT $1, $2, * FROM unnest(
    $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[])
ON CONFLICT (protocol, project, digest) DO UPDATE SET
    (status, kind, repository, workflow, why, root) = (
        SELECT status, kind, repository, workflow, why, root FROM (VALUES
            (true, p.status, p.kind, p.repository, p.workflow, p.why, p.root),
            (false, excluded.status, excluded.kind, excluded.repository, excluded.workflow, excluded.why,
                excluded.root)
        ) AS each (is_before, status, kind, repository, workflow, why, root)
        WHERE is_before = (excluded.status = 'unknown' AND p.status <> 'unknown'
            AND (p.status = 'verified' OR excluded.why = ''))
    ), signature = excluded.signature, checked_at = now()
RETURNING digest, json_build_array(
    status, json_build_array(kind, repository, workflow), why, root, signature)::text AS evidence
"""

STORE_SIGNATURE = """
INSERT INTO signed_files (protocol, project, entry, filename, sha256, status, signer, why, mark)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (protocol, project, entry, filename) DO UPDATE SET
    (sha256, status, signer, why, mark, checked_at)
    = (excluded.sha256, excluded.status, excluded.signer, excluded.why, excluded.mark, now())
"""

# In the place of what was read ($4, null: there was nothing); nothing, where others have written since.
NOTE_SEEN = """
INSERT INTO first_seen AS f (protocol, project, seen) VALUES ($1, $2, $3)
ON CONFLICT (protocol, project) DO UPDATE SET seen = excluded.seen WHERE f.seen = $4::bytea
RETURNING true
"""

PIN_FIRST = """
INSERT INTO project_pins AS p (protocol, project, source_id)
SELECT $1::text, $2::text, $3::bigint
WHERE NOT EXISTS (SELECT FROM shared_pins WHERE protocol = $1 AND project = $2)
ON CONFLICT (protocol, project) DO UPDATE SET source_id = p.source_id
RETURNING source_id
"""

STORE_EVENTS = """
INSERT INTO events AS e (kind, protocol, project, filename, detail, detail_digest, count)
SELECT kind, protocol, project, filename, detail::jsonb, sha256(convert_to(detail, 'UTF8')), count(*)
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
    AS t(kind, protocol, project, filename, detail)
GROUP BY kind, protocol, project, filename, detail
ORDER BY kind, protocol, project, filename, detail
ON CONFLICT (kind, protocol, project, filename, detail_digest)
DO UPDATE SET count = e.count + excluded.count, last_at = now()
"""
