-- When files were last asked for, for eviction by age and size (ORCHARD_EVICT_*). A table of its own: these
-- rows change daily, those of artifacts never.

CREATE TABLE artifact_uses (
    sha256  bytea PRIMARY KEY REFERENCES artifacts (sha256) ON DELETE CASCADE,
    used_at timestamptz NOT NULL
);
COMMENT ON TABLE artifact_uses IS 'Coarse: a gateway tells of a file at most once a day.';
