-- Sealed builds, and the objects that nobody may remove because of them.

CREATE TABLE builds (
    id         text PRIMARY KEY CHECK (octet_length(id) BETWEEN 1 AND 64),
    session    bytea NOT NULL,
    sealed_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN builds.session IS 'MessagePack of shared/builds/entries.py `Session`; it names the list.';

CREATE TABLE build_objects (
    key        text NOT NULL CHECK (octet_length(key) <= 128),
    build      text NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    PRIMARY KEY (key, build)
);
COMMENT ON TABLE build_objects IS 'Object keys: neither swept nor evicted while they are here.';
CREATE INDEX build_objects_by_build ON build_objects (build);
