-- What upstreams tell and an operator later asks for: when a file was made, and where it came from, also after
-- its source was removed.

ALTER TABLE cached_urls ADD COLUMN upstream_modified timestamptz;
COMMENT ON COLUMN cached_urls.upstream_modified IS 'Last-Modified of the download; null where the upstream did not say.';

CREATE TABLE removed_sources (
    id         bigint PRIMARY KEY,
    protocol   text NOT NULL,
    name       text NOT NULL,
    url        text NOT NULL,
    removed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE removed_sources IS 'Names of upstream sources that are no more: stored files still came from them.';

CREATE FUNCTION remember_removed_source() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO removed_sources (id, protocol, name, url) VALUES (OLD.id, OLD.protocol, OLD.name, OLD.url)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, url = excluded.url, removed_at = now();
    RETURN NULL;
END
$$;
CREATE TRIGGER upstream_sources_removed AFTER DELETE ON upstream_sources
    FOR EACH ROW EXECUTE FUNCTION remember_removed_source();
