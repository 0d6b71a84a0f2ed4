-- Locks of ensure files, kept for ever, and how far those in the making have come.

CREATE TABLE ensures (
    key     bytea PRIMARY KEY CHECK (octet_length(key) = 32),
    body    bytea NOT NULL,
    kept_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE ensures IS 'Complete locks only; the first one stands until an operator refreshes it.';
COMMENT ON COLUMN ensures.key IS 'SHA256 over the canonical ensure file (shared/resolving/ensure_file.py).';
COMMENT ON COLUMN ensures.body IS 'JSON, byte for byte as it is served.';

CREATE TABLE ensure_progress (
    key        bytea PRIMARY KEY CHECK (octet_length(key) = 32),
    state      bytea NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE ensure_progress IS 'The state of an ensure between two runs of its job; gone when it ends.';
CREATE INDEX ensure_progress_by_age ON ensure_progress (updated_at);
