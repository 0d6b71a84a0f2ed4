-- Response headers that a file's protocol has kept, and that are sent again with it.

ALTER TABLE cached_urls ADD COLUMN headers jsonb NOT NULL DEFAULT '{}';
COMMENT ON COLUMN cached_urls.headers IS 'Headers of the download, by lower-case name, that go out again with the file.';
