-- Files that were imported from folders and from other caches' stores: what the sources `import` serve.

CREATE TABLE imported_files (
    protocol     text NOT NULL CHECK (octet_length(protocol) BETWEEN 1 AND 32),
    path         text NOT NULL CHECK (octet_length(path) BETWEEN 1 AND 2048),
    project      text NOT NULL CHECK (octet_length(project) BETWEEN 1 AND 512),
    version      text NOT NULL CHECK (octet_length(version) <= 512),
    filename     text NOT NULL CHECK (octet_length(filename) BETWEEN 1 AND 1024),
    sha256       bytea NOT NULL CHECK (octet_length(sha256) = 32),
    size_bytes   bigint NOT NULL CHECK (size_bytes >= 0),
    digests      jsonb NOT NULL,
    about        bytea NOT NULL,
    imported_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (protocol, path)
);
COMMENT ON TABLE imported_files IS 'Their objects are neither swept nor evicted (docs/decisions/0058).';
COMMENT ON COLUMN imported_files.path IS 'Below the address of the protocol''s source `import`.';
COMMENT ON COLUMN imported_files.about IS 'What its project''s index tells of it, as its protocol wrote it.';
CREATE INDEX imported_files_by_project ON imported_files (protocol, project);
CREATE INDEX imported_files_by_digest ON imported_files (sha256);
