-- Rules of the policy file that were taken away, or changed: one that comes back began when it first did.

CREATE TABLE policy_rules_gone (
    name    text NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 320),
    digest  bytea NOT NULL CHECK (octet_length(digest) = 32),
    rule    jsonb NOT NULL CHECK (octet_length(rule::text) <= 2097152),
    gone_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, digest)
);
CREATE INDEX policy_rules_gone_by_time ON policy_rules_gone (gone_at DESC);
COMMENT ON COLUMN policy_rules_gone.rule IS 'shared/policy/named.py `NamedRule`.';
COMMENT ON COLUMN policy_rules_gone.digest IS 'SHA256 of the rule without its beginning.';
