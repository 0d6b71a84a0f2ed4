-- Indexes whose source says that they are no more: a 404 must outlive the cache, or a later outage of the
-- source would bring the old page back.

ALTER TABLE index_documents ADD COLUMN gone_at timestamptz;
COMMENT ON COLUMN index_documents.gone_at IS 'Since when its source truly answers 404; null again with the next document.';
