-- What came in bundles of other Orchards (docs/decisions/0049): that their logs have the files, and what they state.

CREATE TABLE imported_proofs (
    build  text NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
    key    text NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 512),
    proof  bytea NOT NULL CHECK (octet_length(proof) BETWEEN 1 AND 262144),
    PRIMARY KEY (build, sha256)
);
CREATE INDEX imported_proofs_by_file ON imported_proofs (sha256);
COMMENT ON TABLE imported_proofs IS 'C2SP tlog-proofs of another log, as its bundle told them. key: of that log.';

CREATE TABLE imported_statements (
    build    text NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    sha256   bytea NOT NULL CHECK (octet_length(sha256) = 32),
    protocol text NOT NULL CHECK (octet_length(protocol) <= 32),
    project  text NOT NULL CHECK (octet_length(project) <= 512),
    version  text NOT NULL CHECK (octet_length(version) <= 1024),
    envelope bytea NOT NULL CHECK (octet_length(envelope) BETWEEN 1 AND 65536),
    PRIMARY KEY (build, sha256, protocol, project, version)
);
CREATE INDEX imported_statements_by_file ON imported_statements (sha256);
CREATE INDEX imported_statements_by_version ON imported_statements (protocol, project, version);
