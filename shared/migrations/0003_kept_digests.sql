-- Hashes kept of a file beside its SHA256, for protocols whose clients ask for them (Maven's checksum
-- files). With the name rather than with the bytes: another protocol may have stored the same bytes
-- before, without these hashes.

ALTER TABLE cached_urls ADD COLUMN digests jsonb NOT NULL DEFAULT '{}';
COMMENT ON COLUMN cached_urls.digests IS 'Algorithm (hashlib''s name) to lower-case hex, computed at ingest.';
