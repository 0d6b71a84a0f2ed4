-- What an artifact's dependencies become together with other documents (a POM with its parents and
-- imported BOMs), apart from what it declares itself.

CREATE TABLE effective_models (
    sha256       bytea PRIMARY KEY REFERENCES artifacts (sha256) ON DELETE CASCADE,
    complete     boolean NOT NULL,
    problems     text[] NOT NULL DEFAULT '{}',
    relocated_to text NOT NULL DEFAULT '' CHECK (octet_length(relocated_to) <= 2048),
    derived_at   timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN effective_models.complete IS 'True: nothing was missing or unresolved; then it is final.';

CREATE TABLE effective_dependencies (
    sha256      bytea NOT NULL REFERENCES effective_models (sha256) ON DELETE CASCADE,
    position    integer NOT NULL CHECK (position >= 0),
    requirement text NOT NULL CHECK (octet_length(requirement) <= 65536),
    name        text NOT NULL CHECK (octet_length(name) <= 512),
    specifier   text NOT NULL DEFAULT '',
    marker      text NOT NULL DEFAULT '',
    optional    boolean NOT NULL DEFAULT false,
    kind        text NOT NULL DEFAULT 'runtime' CHECK (octet_length(kind) <= 64),
    PRIMARY KEY (sha256, position)
);
CREATE INDEX effective_dependencies_by_name ON effective_dependencies (name, sha256);
