-- The rows of a large installation, a statement a table; :rows, :packages and :absences stand for numbers.
-- Artifacts 2k and 2k+1 are file k and its metadata; a package's five files are versions 0.0 to 4.0.

CREATE FUNCTION pg_temp.digest(kind text, n bigint) RETURNS bytea IMMUTABLE
    RETURN decode(md5(kind || 'x' || n) || md5(kind || 'y' || n), 'hex');
CREATE FUNCTION pg_temp.package(n bigint) RETURNS text IMMUTABLE RETURN 'package-' || lpad(n::text, 7, '0');
CREATE FUNCTION pg_temp.protocol(n bigint) RETURNS text IMMUTABLE RETURN (ARRAY['pypi', 'npm'])[n % 2 + 1];
CREATE FUNCTION pg_temp.source(n bigint) RETURNS bigint IMMUTABLE RETURN 1 + n % 2 * 3;

INSERT INTO projects (name, system) VALUES ('_pypi', true), ('_npm', true);

INSERT INTO upstream_sources (protocol, name, url)
SELECT p, p || s, 'http://127.0.0.1:9/' || p || s || '/'
FROM unnest(ARRAY['pypi', 'npm']) WITH ORDINALITY u(p, o), generate_series(1, 3) s ORDER BY o, s;

INSERT INTO packages (protocol, name, owner)
SELECT pg_temp.protocol(n), pg_temp.package(n), '_' || pg_temp.protocol(n) FROM generate_series(0, :packages - 1) n;

INSERT INTO artifacts (sha256, size_bytes, content_type, object_key, extraction_state, extraction_reason, name,
    version, created_at)
SELECT d, 1000 + n % 1000 * 997, 'application/octet-stream', 'artifacts/' || encode(d, 'hex'),
    CASE WHEN n % 2 = 1 THEN 'unknown' WHEN n % 100000 = 0 THEN 'pending' ELSE 'extracted' END,
    CASE n % 2 WHEN 1 THEN 'a metadata document' ELSE '' END, pg_temp.package(n / 10), n / 2 % 5 || '.0',
    now() - n % 1000 * interval '1 hour'
FROM (SELECT n, pg_temp.digest('a', n) AS d FROM generate_series(0, :rows - 1) n) made;

INSERT INTO cached_urls (protocol, project, file_id, filename, sha256, role, generation, source_id, upstream_url)
SELECT pg_temp.protocol(n / 10), pg_temp.package(n / 10), encode(pg_temp.digest('a', n - n % 2), 'hex'),
    pg_temp.package(n / 10) || '-' || n / 2 % 5 || '.0.whl' || CASE n % 2 WHEN 1 THEN '.metadata' ELSE '' END,
    pg_temp.digest('a', n), CASE n % 2 WHEN 1 THEN 'metadata' ELSE 'file' END, 1, pg_temp.source(n / 10),
    'http://127.0.0.1:9/files/' || n
FROM generate_series(0, :rows - 1) n;

INSERT INTO artifact_dependencies (sha256, position, requirement, name, specifier)
SELECT pg_temp.digest('a', n * 2), p, 'needed >= 1.0', pg_temp.package(n * 7 * (p + 1) % 1000), '>= 1.0'
FROM generate_series(0, :rows / 2 - 1) n, generate_series(0, 1) p;

INSERT INTO index_documents (protocol, identity, project, source_id, generation, document_key, fetched_at)
SELECT pg_temp.protocol(n), 'simple/' || pg_temp.package(n), pg_temp.package(n), pg_temp.source(n), 1,
    'documents/' || encode(pg_temp.digest('d', n), 'hex'), now() - n % 100000 * interval '1 minute'
FROM generate_series(0, :packages - 1) n;

INSERT INTO project_pins (protocol, project, source_id)
SELECT pg_temp.protocol(n), pg_temp.package(n), pg_temp.source(n) FROM generate_series(0, :packages - 1) n;

INSERT INTO first_seen (protocol, project, seen)
SELECT pg_temp.protocol(n), pg_temp.package(n), ''::bytea FROM generate_series(0, :packages - 1) n;

INSERT INTO artifact_uses (sha256, used_at)
SELECT pg_temp.digest('a', n * 20), now() - n % 100 * interval '1 day' FROM generate_series(0, :rows / 20 - 1) n;

INSERT INTO absences (protocol, identity, project, sources, reason, known, seen_at)
SELECT 'pypi', 'simple/absent-' || n, 'absent-' || n, '{1,2,3}', 'nobody has it', n % 11 <> 0,
    now() - n * interval '1 second'
FROM generate_series(0, :absences - 1) n;

INSERT INTO events (kind, protocol, project, filename, detail, detail_digest, last_at)
SELECT (ARRAY['upstream_mutated', 'digest_mismatch', 'object_decayed'])[n % 3 + 1], 'pypi',
    pg_temp.package(n * 10), n || '.whl', jsonb_build_object('n', n), pg_temp.digest('e', n),
    now() - n * interval '1 second'
FROM generate_series(0, :rows / 100 - 1) n;

INSERT INTO audit (who, action, target, after)
SELECT 'somebody', CASE n % 100 WHEN 0 THEN 'event.accept' ELSE 'pin.set' END, 'target',
    jsonb_build_object('event', n)
FROM generate_series(1, :rows / 100) n;

INSERT INTO serving_files (key, protocol, project, alike, version, filename, sha256, seen_on)
SELECT pg_temp.digest('f', n), pg_temp.protocol(n / 5), pg_temp.package(n / 5), pg_temp.package(n / 5), n % 5 || '.0',
    n || '.whl', pg_temp.digest('a', n * 2), current_date - (n % 90)::integer
FROM generate_series(0, :rows / 2 - 1) n;

SELECT add_servings_day(current_date + n) FROM generate_series(-90, 2) n;

INSERT INTO servings (at, size_bytes, file_id, client_id, times, result, cache, code)
SELECT now() - n % 90 * interval '1 day', 1, n % (:rows / 2) + 1, n % 100 + 1, 1, 0, 'hit', ''
FROM generate_series(0, :rows / 10) n;

INSERT INTO servings_daily (day, file_id, client_id, result, code, times, first_at, last_at)
SELECT (at AT TIME ZONE 'UTC')::date, file_id, client_id, result, code, sum(times), min(at), max(at)
FROM servings GROUP BY 1, 2, 3, 4, 5;

INSERT INTO serving_clients (key, address, token, tool, version, seen_on)
SELECT pg_temp.digest('c', n), '10.0.0.' || n, '', 'pip', '1', current_date - (n % 90)::integer
FROM generate_series(0, :rows / 100) n;

INSERT INTO resolutions (key, protocol, artifact, body, computed_at)
SELECT pg_temp.digest('r', n), 'pypi', pg_temp.digest('a', n * 2), convert_to('{"nodes":[' || (
    SELECT string_agg('{"sha256":"' || encode(pg_temp.digest('a', n * 40 + k * 2), 'hex') || '"}', ',')
    FROM generate_series(0, 19) k) || ']}', 'UTF8'), now() - n * interval '1 minute'
FROM generate_series(0, :rows / 1000 - 1) n;

INSERT INTO ensures (key, body, kept_at)
SELECT pg_temp.digest('l', n), '{}', now() - n * interval '1 minute' FROM generate_series(0, :rows / 10000) n;
