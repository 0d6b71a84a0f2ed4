-- Artifacts whose extraction was lost are looked for every few minutes: keep that look small.
-- Metadata documents have no dependencies to extract, so they must not stay pending for ever.

UPDATE artifacts a SET extraction_state = 'unknown', extraction_reason = 'a metadata document'
WHERE extraction_state = 'pending'
  AND EXISTS (SELECT FROM cached_urls u WHERE u.sha256 = a.sha256 AND u.role = 'metadata')
  AND NOT EXISTS (SELECT FROM cached_urls u WHERE u.sha256 = a.sha256 AND u.role = 'file');

CREATE INDEX artifacts_pending ON artifacts (created_at, sha256) WHERE extraction_state = 'pending';
