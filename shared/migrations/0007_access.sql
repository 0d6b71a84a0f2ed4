-- Who may do what: tokens, blocks, sealed credentials, and who changed what.

CREATE TABLE access_tokens (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL UNIQUE CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$'),
    scope        text NOT NULL CHECK (scope IN ('read', 'admin')),
    digest       bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    created_at   timestamptz NOT NULL DEFAULT now(),
    created_by   text NOT NULL DEFAULT '',
    last_used_at timestamptz
);
COMMENT ON COLUMN access_tokens.digest IS
    'SHA-256 of the token. A token is 256 random bits: nothing can be tried out, so no slow hash is needed.';
COMMENT ON COLUMN access_tokens.last_used_at IS 'To some minutes; written in batches.';

CREATE TABLE blocks (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    protocol   text NOT NULL DEFAULT '' CHECK (octet_length(protocol) <= 32),
    name       text NOT NULL DEFAULT '' CHECK (octet_length(name) <= 512),
    version    text NOT NULL DEFAULT '' CHECK (octet_length(version) <= 512),
    sha256     bytea CHECK (octet_length(sha256) = 32),
    reason     text NOT NULL CHECK (octet_length(reason) BETWEEN 1 AND 1024),
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL DEFAULT '',
    CHECK ((sha256 IS NULL) = (name <> '')),
    CHECK ((name <> '') = (protocol <> '')),
    CHECK (version = '' OR name <> '')
);
CREATE UNIQUE INDEX blocks_by_name ON blocks (protocol, name, version) WHERE sha256 IS NULL;
CREATE UNIQUE INDEX blocks_by_digest ON blocks (sha256) WHERE sha256 IS NOT NULL;
COMMENT ON COLUMN blocks.version IS 'Canonical; empty: every version.';

CREATE TABLE access_revision (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    revision bigint NOT NULL
);
COMMENT ON TABLE access_revision IS
    'Raised by every change of tokens and blocks; at least the clock in milliseconds, as source_revisions.';

CREATE FUNCTION raise_access_revision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO access_revision AS current (one, revision)
    VALUES (true, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
    ON CONFLICT (one) DO UPDATE SET revision = greatest(current.revision + 1, excluded.revision);
    PERFORM pg_notify('orchard_access', '');
    RETURN NULL;
END $$;

CREATE TRIGGER access_tokens_changed AFTER INSERT OR DELETE OR UPDATE OF name, scope, digest ON access_tokens
    FOR EACH STATEMENT EXECUTE FUNCTION raise_access_revision();
CREATE TRIGGER blocks_changed AFTER INSERT OR DELETE OR UPDATE ON blocks
    FOR EACH STATEMENT EXECUTE FUNCTION raise_access_revision();

-- Credentials of sources, sealed (shared/sources/box.py). `username` and `password` stay for rows that
-- an operator writes by hand: they are sealed when a fetcher next starts.
ALTER TABLE upstream_sources ADD COLUMN sealed text NOT NULL DEFAULT '' CHECK (octet_length(sealed) <= 16384);
COMMENT ON COLUMN upstream_sources.sealed IS 'User name and password under ORCHARD_SECRET_KEY, bound to the URL''s origin.';

CREATE FUNCTION shown_source(source upstream_sources) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_object(
        'id', source.id, 'protocol', source.protocol, 'name', source.name, 'url', source.url,
        'priority', source.priority, 'enabled', source.enabled, 'origin', source.origin,
        'include', source.include, 'exclude', source.exclude, 'allowed_hosts', source.allowed_hosts,
        'allow_private', source.allow_private,
        'has_credentials', source.sealed <> '' OR source.username <> '' OR source.password <> '')
$$;
COMMENT ON FUNCTION shown_source IS 'A source as people and the audit see it: without secrets.';

CREATE TABLE audit (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    who        text NOT NULL CHECK (octet_length(who) <= 128),
    action     text NOT NULL CHECK (octet_length(action) BETWEEN 1 AND 64),
    target     text NOT NULL CHECK (octet_length(target) <= 1024),
    before     jsonb,
    after      jsonb,
    request_id text NOT NULL DEFAULT '' CHECK (octet_length(request_id) <= 64)
);
COMMENT ON TABLE audit IS 'Every change by the admin API: written in the statement that makes the change.';
