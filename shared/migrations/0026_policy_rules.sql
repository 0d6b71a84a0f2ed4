-- The rules of the policy file, what they came to beside each file, and the queue of what is held back.

CREATE TABLE policy_rules (
    position   integer PRIMARY KEY,
    name       text NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 320),
    rule       jsonb NOT NULL CHECK (octet_length(rule::text) <= 2097152),
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN policy_rules.rule IS 'shared/policy/named.py `NamedRule`.';
CREATE TRIGGER policy_rules_changed AFTER INSERT OR DELETE OR UPDATE ON policy_rules
    FOR EACH STATEMENT EXECUTE FUNCTION raise_access_revision();

ALTER TABLE cached_urls ADD COLUMN judged text NOT NULL DEFAULT '';
COMMENT ON COLUMN cached_urls.judged IS
    'Under which rules of the policy file it was judged, and what is against it (shared/policy/content.py `told`).';

CREATE TABLE held_versions (
    protocol  text NOT NULL CHECK (octet_length(protocol) <= 32),
    project   text NOT NULL CHECK (octet_length(project) <= 512),
    version   text NOT NULL CHECK (octet_length(version) <= 512),
    rule      text NOT NULL,
    why       text NOT NULL,
    published double precision NOT NULL,
    until     double precision NOT NULL,
    change    jsonb NOT NULL,
    held_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (protocol, project, version)
);
COMMENT ON TABLE held_versions IS 'What pages were made without, by a rule that a person may overrule.';
COMMENT ON COLUMN held_versions.change IS 'shared/policy/traits.py `Change`: since the last allowed version.';
CREATE INDEX held_versions_by_time ON held_versions (held_at DESC, protocol, project, version);
