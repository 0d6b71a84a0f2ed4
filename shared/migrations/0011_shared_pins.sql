-- Maven's projects are pinned as those of other protocols are. Until now each version's folder went to the
-- source of its first file, and metadata was the union of all sources. What was served from several sources
-- goes on being served from those, and an event tells of it; a project has either one row in project_pins or
-- several here (services one version back know only the former).

CREATE TABLE shared_pins (
    protocol  text NOT NULL CHECK (octet_length(protocol) BETWEEN 1 AND 32),
    project   text NOT NULL CHECK (octet_length(project) BETWEEN 1 AND 512),
    source_id bigint NOT NULL,
    pinned_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (protocol, project, source_id)
);
COMMENT ON TABLE shared_pins IS 'Projects that are asked at several sources, which are merged for them, and nowhere else.';

CREATE TEMPORARY TABLE served ON COMMIT DROP AS
    SELECT DISTINCT c.project, c.source_id FROM cached_urls c
    WHERE c.protocol = 'maven' AND c.source_id <> 0
      AND NOT EXISTS (SELECT FROM project_pins p WHERE p.protocol = 'maven' AND p.project = c.project);

INSERT INTO project_pins (protocol, project, source_id)
SELECT 'maven', project, min(source_id) FROM served GROUP BY project HAVING count(*) = 1;

INSERT INTO shared_pins (protocol, project, source_id)
SELECT 'maven', project, source_id FROM served
WHERE project IN (SELECT project FROM served GROUP BY project HAVING count(*) > 1);

WITH found AS (
    SELECT project, jsonb_build_object('source_ids', jsonb_agg(source_id ORDER BY source_id))::text AS detail
    FROM served GROUP BY project HAVING count(*) > 1
)
INSERT INTO events (kind, protocol, project, filename, detail, detail_digest)
SELECT 'served_by_several', 'maven', project, '', detail::jsonb, sha256(convert_to(detail, 'UTF8')) FROM found
ON CONFLICT DO NOTHING;
