-- What may be served: the rules of the settings, exemptions, when versions were published and first seen.

CREATE TABLE policy (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    rules      jsonb NOT NULL CHECK (octet_length(rules::text) <= 1048576),
    changed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE policy IS
    'The rules of the settings, written by `python -m shared.migrations`: one policy for all processes.';

CREATE TABLE exemptions (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    protocol   text NOT NULL DEFAULT '' CHECK (octet_length(protocol) <= 32),
    name       text NOT NULL DEFAULT '' CHECK (octet_length(name) <= 512),
    version    text NOT NULL DEFAULT '' CHECK (octet_length(version) <= 512),
    sha256     bytea CHECK (octet_length(sha256) = 32),
    reason     text NOT NULL CHECK (octet_length(reason) BETWEEN 1 AND 1024),
    expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL DEFAULT '',
    CHECK ((sha256 IS NULL) = (name <> '')),
    CHECK ((name <> '') = (protocol <> '')),
    CHECK (version = '' OR name <> '')
);
CREATE UNIQUE INDEX exemptions_by_name ON exemptions (protocol, name, version) WHERE sha256 IS NULL;
CREATE UNIQUE INDEX exemptions_by_digest ON exemptions (sha256) WHERE sha256 IS NOT NULL;
COMMENT ON COLUMN exemptions.version IS 'Canonical; empty: every version.';

CREATE TRIGGER policy_changed AFTER INSERT OR DELETE OR UPDATE OF rules ON policy
    FOR EACH STATEMENT EXECUTE FUNCTION raise_access_revision();
CREATE TRIGGER exemptions_changed AFTER INSERT OR DELETE OR UPDATE ON exemptions
    FOR EACH STATEMENT EXECUTE FUNCTION raise_access_revision();

CREATE TABLE first_seen (
    protocol   text NOT NULL CHECK (octet_length(protocol) <= 32),
    project    text NOT NULL CHECK (octet_length(project) <= 512),
    seen       bytea NOT NULL,
    PRIMARY KEY (protocol, project)
);
COMMENT ON COLUMN first_seen.seen IS
    'MessagePack of shared/policy/age.py `Seen`: when a list of the versions was first seen, and what came later.';

ALTER TABLE cached_urls ADD COLUMN published timestamptz;
COMMENT ON COLUMN cached_urls.published IS
    'When the file counts as published (shared/policy/age.py); null: not known, or stored before it was asked.';
