-- What upstreams that are Orchards have blocked (docs/decisions/0038): read with the blocks made here.

CREATE TABLE upstream_blocks (
    source_id bigint PRIMARY KEY REFERENCES upstream_sources (id) ON DELETE CASCADE,
    url       text NOT NULL,
    etag      text NOT NULL CHECK (octet_length(etag) <= 8192),
    told      jsonb NOT NULL CHECK (jsonb_typeof(told) = 'array'),
    counting  jsonb NOT NULL CHECK (jsonb_typeof(counting) = 'array')
);
COMMENT ON COLUMN upstream_blocks.url IS 'Of the source as it was asked: at another address it said nothing.';
COMMENT ON COLUMN upstream_blocks.told IS 'All that it told; counting: those that are about what it serves here.';

CREATE TRIGGER upstream_blocks_changed AFTER INSERT OR DELETE OR UPDATE OF counting, url ON upstream_blocks
    FOR EACH STATEMENT EXECUTE FUNCTION raise_access_revision();
