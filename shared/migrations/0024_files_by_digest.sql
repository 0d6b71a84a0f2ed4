-- no transaction
-- Files by the other digests that are kept of them (/cas/sha512/…, /cas/sha1/…). Hashes of the digests: a few
-- bytes a file.
DROP INDEX CONCURRENTLY IF EXISTS cached_urls_by_sha512;
CREATE INDEX CONCURRENTLY cached_urls_by_sha512 ON cached_urls USING hash ((digests ->> 'sha512'))
    WHERE (digests ->> 'sha512') IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS cached_urls_by_sha1;
CREATE INDEX CONCURRENTLY cached_urls_by_sha1 ON cached_urls USING hash ((digests ->> 'sha1'))
    WHERE (digests ->> 'sha1') IS NOT NULL;
