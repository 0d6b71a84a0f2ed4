-- no transaction
-- What housekeeping and rare questions look up where there are 10⁷ files (docs/decisions/0039). Made while others
-- write; a file without a transaction is run from its start again if it was cut off, hence the DROPs.

-- Which document an object is: the sweep and the scrubber.
DROP INDEX CONCURRENTLY IF EXISTS index_documents_by_object;
CREATE INDEX CONCURRENTLY index_documents_by_object ON index_documents (document_key);

-- Pages of a source, for whether it is to be believed.
DROP INDEX CONCURRENTLY IF EXISTS index_documents_by_source;
CREATE INDEX CONCURRENTLY index_documents_by_source ON index_documents (protocol, source_id, fetched_at)
    WHERE gone_at IS NULL;

-- Files of a source, for the same where it has no pages. Equal keys: 7 bytes a file.
DROP INDEX CONCURRENTLY IF EXISTS cached_urls_by_source;
CREATE INDEX CONCURRENTLY cached_urls_by_source ON cached_urls (protocol, source_id);

-- Answers in the order in which they were stored: what they name is not evicted.
DROP INDEX CONCURRENTLY IF EXISTS resolutions_by_time;
CREATE INDEX CONCURRENTLY resolutions_by_time ON resolutions (computed_at, key);
DROP INDEX CONCURRENTLY IF EXISTS ensures_by_time;
CREATE INDEX CONCURRENTLY ensures_by_time ON ensures (kept_at, key);

-- Files and clients of servings that are too old.
DROP INDEX CONCURRENTLY IF EXISTS serving_files_by_day;
CREATE INDEX CONCURRENTLY serving_files_by_day ON serving_files (seen_on);
DROP INDEX CONCURRENTLY IF EXISTS serving_clients_by_day;
CREATE INDEX CONCURRENTLY serving_clients_by_day ON serving_clients (seen_on);

-- What was decided on an event.
DROP INDEX CONCURRENTLY IF EXISTS audit_of_events;
CREATE INDEX CONCURRENTLY audit_of_events ON audit (((after ->> 'event')::bigint), id)
    WHERE action IN ('event.accept', 'event.accept.undone');
