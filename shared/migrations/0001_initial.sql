-- The first schema: sources, packages, artifacts, their dependencies, documents and pins.
-- PostgreSQL 15 and later. Keys stay under btree's 2,704 bytes by the length checks.

CREATE TABLE projects (
    name       text PRIMARY KEY CHECK (octet_length(name) BETWEEN 1 AND 512),
    system     boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE projects IS 'Owners of packages. A system project (_pypi) owns what a protocol caches.';
COMMENT ON COLUMN projects.system IS 'Made by Orchard at a protocol''s first package, not by a person.';

CREATE TABLE packages (
    protocol   text NOT NULL CHECK (octet_length(protocol) BETWEEN 1 AND 32),
    name       text NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 512),
    owner      text NOT NULL REFERENCES projects (name),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (protocol, name)
);
CREATE INDEX packages_by_owner ON packages (owner, protocol, name);

CREATE TABLE upstream_sources (
    id                   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    protocol             text NOT NULL CHECK (octet_length(protocol) BETWEEN 1 AND 32),
    name                 text NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 128),
    url                  text NOT NULL CHECK (url ~ '^https?://' AND url !~ '^[a-z]+://[^/]*@'),
    priority             integer NOT NULL DEFAULT 100,
    enabled              boolean NOT NULL DEFAULT true,
    origin               text NOT NULL DEFAULT 'operator' CHECK (origin IN ('env', 'operator')),
    position             integer,
    username             text NOT NULL DEFAULT '',
    password             text NOT NULL DEFAULT '',
    include              text[] NOT NULL DEFAULT '{}',
    exclude              text[] NOT NULL DEFAULT '{}',
    allowed_hosts        text[] NOT NULL DEFAULT '{}',
    allow_private        boolean NOT NULL DEFAULT false,
    max_connections      integer NOT NULL DEFAULT 0 CHECK (max_connections >= 0),
    read_timeout_seconds double precision NOT NULL DEFAULT 0 CHECK (read_timeout_seconds >= 0),
    created_at           timestamptz NOT NULL DEFAULT now(),
    UNIQUE (protocol, name)
);
COMMENT ON COLUMN upstream_sources.url IS 'Without credentials: they are in username and password.';
COMMENT ON COLUMN upstream_sources.origin IS 'env: follows ORCHARD_*_UPSTREAM at every start; operator: never touched by it.';
COMMENT ON COLUMN upstream_sources.position IS 'Of an env row: its place in the variable, NULL once it is no longer there.';

CREATE TABLE source_revisions (
    protocol text PRIMARY KEY,
    revision bigint NOT NULL
);
COMMENT ON TABLE source_revisions IS
    'Raised by every change of upstream_sources; at least the clock in milliseconds, so that a database '
    'made anew never falls behind a revision that a cache still holds.';

CREATE FUNCTION raise_source_revision(changed text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO source_revisions AS current (protocol, revision)
    VALUES (changed, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
    ON CONFLICT (protocol) DO UPDATE SET revision = greatest(current.revision + 1, excluded.revision);
    PERFORM pg_notify('orchard_sources', changed);
END $$;

CREATE FUNCTION upstream_sources_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM raise_source_revision(OLD.protocol);
    END IF;
    IF TG_OP = 'INSERT' OR (TG_OP = 'UPDATE' AND NEW.protocol <> OLD.protocol) THEN
        PERFORM raise_source_revision(NEW.protocol);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER upstream_sources_added AFTER INSERT OR DELETE ON upstream_sources
    FOR EACH ROW EXECUTE FUNCTION upstream_sources_changed();
CREATE TRIGGER upstream_sources_updated AFTER UPDATE ON upstream_sources
    FOR EACH ROW WHEN (OLD IS DISTINCT FROM NEW) EXECUTE FUNCTION upstream_sources_changed();

CREATE TABLE artifacts (
    sha256            bytea PRIMARY KEY CHECK (octet_length(sha256) = 32),
    size_bytes        bigint NOT NULL CHECK (size_bytes >= 0),
    content_type      text NOT NULL CHECK (octet_length(content_type) <= 256),
    object_key        text NOT NULL CHECK (octet_length(object_key) BETWEEN 1 AND 512),
    extraction_state  text NOT NULL DEFAULT 'pending'
                      CHECK (extraction_state IN ('pending', 'extracted', 'unknown', 'unextractable')),
    extraction_reason text NOT NULL DEFAULT '',
    name              text NOT NULL DEFAULT '' CHECK (octet_length(name) <= 512),
    version           text NOT NULL DEFAULT '' CHECK (octet_length(version) <= 512),
    requires_python   text NOT NULL DEFAULT '' CHECK (octet_length(requires_python) <= 4096),
    extras            text[] NOT NULL DEFAULT '{}',
    created_at        timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN artifacts.extraction_state IS
    'Written in the same statement as artifact_dependencies; extracted is final.';

CREATE TABLE cached_urls (
    protocol     text NOT NULL,
    project      text NOT NULL,
    file_id      text NOT NULL CHECK (octet_length(file_id) BETWEEN 1 AND 256),
    filename     text NOT NULL CHECK (octet_length(filename) BETWEEN 1 AND 1024),
    sha256       bytea NOT NULL REFERENCES artifacts (sha256),
    role         text NOT NULL DEFAULT 'file' CHECK (role IN ('file', 'metadata')),
    generation   bigint NOT NULL,
    source_id    bigint NOT NULL DEFAULT 0,
    upstream_url text NOT NULL DEFAULT '' CHECK (octet_length(upstream_url) <= 8192),
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (protocol, project, file_id, filename),
    FOREIGN KEY (protocol, project) REFERENCES packages (protocol, name)
);
COMMENT ON TABLE cached_urls IS 'Which bytes stand under a name, for ever: the first writer wins.';
CREATE INDEX cached_urls_by_artifact ON cached_urls (sha256);

CREATE TABLE artifact_dependencies (
    sha256      bytea NOT NULL REFERENCES artifacts (sha256) ON DELETE CASCADE,
    position    integer NOT NULL CHECK (position >= 0),
    requirement text NOT NULL CHECK (octet_length(requirement) <= 65536),
    name        text NOT NULL CHECK (octet_length(name) <= 512),
    specifier   text NOT NULL DEFAULT '',
    marker      text NOT NULL DEFAULT '',
    extras      text[] NOT NULL DEFAULT '{}',
    optional    boolean NOT NULL DEFAULT false,
    kind        text NOT NULL DEFAULT 'runtime' CHECK (octet_length(kind) <= 64),
    PRIMARY KEY (sha256, position)
);
CREATE INDEX artifact_dependencies_by_name ON artifact_dependencies (name, sha256);

CREATE TABLE index_documents (
    protocol               text NOT NULL CHECK (octet_length(protocol) BETWEEN 1 AND 32),
    identity               text NOT NULL CHECK (octet_length(identity) BETWEEN 1 AND 1024),
    project                text NOT NULL CHECK (octet_length(project) <= 512),
    source_id              bigint NOT NULL,
    generation             bigint NOT NULL,
    document_key           text NOT NULL CHECK (octet_length(document_key) BETWEEN 1 AND 512),
    fetched_at             timestamptz NOT NULL,
    upstream_etag          text NOT NULL DEFAULT '' CHECK (octet_length(upstream_etag) <= 8192),
    upstream_last_modified text NOT NULL DEFAULT '' CHECK (octet_length(upstream_last_modified) <= 256),
    PRIMARY KEY (protocol, identity)
);
CREATE INDEX index_documents_by_project ON index_documents (protocol, project);

CREATE TABLE project_pins (
    protocol  text NOT NULL CHECK (octet_length(protocol) BETWEEN 1 AND 32),
    project   text NOT NULL CHECK (octet_length(project) BETWEEN 1 AND 512),
    source_id bigint NOT NULL,
    pinned_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (protocol, project)
);
COMMENT ON TABLE project_pins IS
    'A project once served from a source is asked only there, until an operator unpins it. No foreign key: '
    'a deleted source must leave its names unanswered, never free for the next source.';

CREATE TABLE events (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at            timestamptz NOT NULL DEFAULT now(),
    kind          text NOT NULL CHECK (octet_length(kind) BETWEEN 1 AND 64),
    protocol      text NOT NULL CHECK (octet_length(protocol) <= 32),
    project       text NOT NULL CHECK (octet_length(project) <= 512),
    filename      text NOT NULL CHECK (octet_length(filename) <= 1024),
    detail        jsonb NOT NULL DEFAULT '{}',
    detail_digest bytea NOT NULL CHECK (octet_length(detail_digest) = 32),
    last_at       timestamptz NOT NULL DEFAULT now(),
    count         bigint NOT NULL DEFAULT 1,
    UNIQUE (kind, protocol, project, filename, detail_digest)
);
COMMENT ON TABLE events IS 'What an operator should know. The same event again raises count and last_at.';
CREATE INDEX events_by_time ON events (last_at DESC);
