-- Issuers of identity tokens (OpenID Connect) whose bearers get tokens to read with.

CREATE TABLE trust_rules (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$'),
    rule       jsonb NOT NULL CHECK (jsonb_typeof(rule) = 'object'),
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL DEFAULT ''
);
COMMENT ON COLUMN trust_rules.rule IS
    'As shared/access/trust.py says. A rule is never changed: its id stands in tokens that were given by it.';

CREATE TRIGGER trust_rules_changed AFTER INSERT OR DELETE OR UPDATE ON trust_rules
    FOR EACH STATEMENT EXECUTE FUNCTION raise_access_revision();
