-- What every source that may be asked truly lacks (404 or 410): kept as long as files are, so that it stays
-- absent while nobody can be asked (docs/decisions/0026).

CREATE TABLE absences (
    protocol text NOT NULL CHECK (octet_length(protocol) BETWEEN 1 AND 32),
    identity text NOT NULL CHECK (octet_length(identity) BETWEEN 1 AND 2048),
    project  text NOT NULL CHECK (octet_length(project) <= 512),
    sources  bigint[] NOT NULL,
    reason   text NOT NULL DEFAULT '' CHECK (octet_length(reason) <= 4096),
    known    boolean NOT NULL,
    seen_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (protocol, identity)
);
COMMENT ON TABLE absences IS 'Bounded: the longest unconfirmed go first (services/fetcher/sources/absences.py).';
COMMENT ON COLUMN absences.identity IS 'Of an index, or absent/… of a file.';
COMMENT ON COLUMN absences.sources IS 'Who said so, ascending: all that might be asked then. It holds while those are all.';
COMMENT ON COLUMN absences.known IS 'Whether anything of the project is stored, or it is pinned.';
CREATE INDEX absences_by_age ON absences (known, seen_at);
CREATE INDEX absences_by_project ON absences (protocol, project, seen_at);

CREATE FUNCTION forget_absences() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM absences WHERE protocol = OLD.protocol AND OLD.id = ANY (sources);
    RETURN NULL;
END
$$;
-- It may be another registry now, or show what it hid from a stranger.
CREATE TRIGGER upstream_sources_say_anew AFTER UPDATE ON upstream_sources FOR EACH ROW
    WHEN ((OLD.url, OLD.username, OLD.password, OLD.options, OLD.include, OLD.exclude, OLD.priority)
          IS DISTINCT FROM
          (NEW.url, NEW.username, NEW.password, NEW.options, NEW.include, NEW.exclude, NEW.priority)
          OR OLD.sealed <> NEW.sealed AND OLD.username = '' AND OLD.password = '')
    EXECUTE FUNCTION forget_absences();

ALTER TABLE index_documents ADD COLUMN doubted_at timestamptz;
COMMENT ON COLUMN index_documents.doubted_at IS 'Since when its source answers 404 for it and nothing shows that the source is well; null: it does not.';
