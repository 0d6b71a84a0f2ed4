-- Statements (docs/decisions/0048): which object says what of an admitted file, and of a sealed build.

CREATE TABLE statements (
    sha256   bytea NOT NULL CHECK (octet_length(sha256) = 32),
    leaf     bigint NOT NULL CHECK (leaf >= 0),
    protocol text NOT NULL,
    project  text NOT NULL,
    version  text NOT NULL,
    object   bytea NOT NULL CHECK (octet_length(object) = 32),
    PRIMARY KEY (sha256, leaf)
);
CREATE INDEX statements_by_version ON statements (protocol, project, version);
CREATE INDEX statements_by_object ON statements USING hash (object);
COMMENT ON TABLE statements IS 'One a file''s entry of the log (leaf). The envelope is the object statements/{object}.';

CREATE TABLE build_statements (
    build  text NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    kind   text NOT NULL CHECK (octet_length(kind) <= 32),
    object bytea NOT NULL CHECK (octet_length(object) = 32),
    PRIMARY KEY (build, kind)
);
CREATE INDEX build_statements_by_object ON build_statements USING hash (object);

ALTER TABLE log_state ADD COLUMN stated bigint NOT NULL DEFAULT 0 CHECK (stated >= 0);
COMMENT ON COLUMN log_state.stated IS 'Entries before this one have their statements.';
