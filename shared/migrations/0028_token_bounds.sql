-- Tokens that are good until some moment, from some addresses, or for some packages.

ALTER TABLE access_tokens
    ADD COLUMN owner text NOT NULL DEFAULT '' CHECK (octet_length(owner) <= 256),
    ADD COLUMN bounds jsonb CHECK (jsonb_typeof(bounds) = 'object');
COMMENT ON COLUMN access_tokens.bounds IS
    'As shared/access/bounds.py says; null: none. With bounds the digest is another one, which services that do not know them do not look for.';

DROP TRIGGER access_tokens_changed ON access_tokens;
CREATE TRIGGER access_tokens_changed
    AFTER INSERT OR DELETE OR UPDATE OF name, scope, digest, bounds ON access_tokens
    FOR EACH STATEMENT EXECUTE FUNCTION raise_access_revision();
