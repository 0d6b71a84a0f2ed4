-- Resolved dependency graphs, kept for ever, and how far those in the making have come.

CREATE TABLE resolutions (
    key         bytea PRIMARY KEY CHECK (octet_length(key) = 32),
    protocol    text NOT NULL CHECK (octet_length(protocol) BETWEEN 1 AND 32),
    artifact    bytea CHECK (octet_length(artifact) = 32),
    body        bytea NOT NULL,
    computed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE resolutions IS 'Complete answers only; the first one stands until an operator refreshes it.';
COMMENT ON COLUMN resolutions.key IS 'SHA256 over the canonical request (shared/protocols/resolution.py).';
COMMENT ON COLUMN resolutions.body IS 'JSON, byte for byte as it is served.';
CREATE INDEX resolutions_by_artifact ON resolutions (artifact) WHERE artifact IS NOT NULL;

CREATE TABLE resolution_progress (
    key        bytea PRIMARY KEY CHECK (octet_length(key) = 32),
    state      bytea NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE resolution_progress IS 'The state of a resolution between two runs of its job; gone when it ends.';
CREATE INDEX resolution_progress_by_age ON resolution_progress (updated_at);

-- The API lists packages in byte order, so that a prefix is a range of the index.
CREATE INDEX packages_in_byte_order ON packages (protocol, name COLLATE "C");
