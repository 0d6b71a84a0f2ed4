-- Transparency logs of other Orchards whose bundles were imported: the newest state of each that was seen.

CREATE TABLE bundle_logs (
    key        text PRIMARY KEY CHECK (octet_length(key) BETWEEN 1 AND 512),
    size       bigint NOT NULL CHECK (size >= 0),
    root       bytea NOT NULL CHECK (octet_length(root) = 32),
    seen_at    timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE bundle_logs IS 'Keys that sign bundles and were trusted once; each later bundle goes on from there.';
