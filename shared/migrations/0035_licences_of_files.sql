-- Licences that stand in files, not in lists of versions.

ALTER TABLE artifacts ADD COLUMN licence text;
COMMENT ON COLUMN artifacts.licence IS 'As its metadata tells it; empty: it tells none; null: not known.';

CREATE TABLE inherited_licences (
    sha256  bytea PRIMARY KEY REFERENCES artifacts (sha256) ON DELETE CASCADE,
    told_at text NOT NULL CHECK (octet_length(told_at) <= 2048)
);
CREATE INDEX inherited_licences_by_file ON inherited_licences (told_at);
COMMENT ON TABLE inherited_licences IS
    'Files whose licence another file tells (a POM''s parent): its project, file id and name, by line feeds.';
