-- Feeds of advisories (docs/decisions/0042): of each the last good state, and what is stored of malware.

CREATE TABLE osv_feeds (
    feed         text PRIMARY KEY CHECK (octet_length(feed) BETWEEN 1 AND 2048),
    good         text NOT NULL DEFAULT '' CHECK (octet_length(good) <= 1024),
    tried        text NOT NULL DEFAULT '' CHECK (octet_length(tried) <= 1024),
    digest       text NOT NULL DEFAULT '' CHECK (octet_length(digest) <= 64),
    snapshot     bytea NOT NULL DEFAULT '',
    advisories   bigint NOT NULL DEFAULT 0,
    left_out     bigint NOT NULL DEFAULT 0,
    read_at      timestamptz,
    confirmed_at timestamptz,
    looked_at    timestamptz NOT NULL DEFAULT now(),
    fault        text NOT NULL DEFAULT '' CHECK (octet_length(fault) <= 2048),
    before       text NOT NULL DEFAULT '',
    changed      jsonb,
    told         text NOT NULL DEFAULT ''
);
COMMENT ON COLUMN osv_feeds.feed IS 'A folder, a file or an address, without credentials.';
COMMENT ON COLUMN osv_feeds.good IS 'What tells the state that the snapshot was made of from others: an ETag, a hash of dates and sizes.';
COMMENT ON COLUMN osv_feeds.tried IS 'The same of the state that was read last, which may have been refused.';
COMMENT ON COLUMN osv_feeds.snapshot IS 'shared/access/feeds.py `pack` of shared/policy/advisories.py `make_snapshot`.';
COMMENT ON COLUMN osv_feeds.changed IS 'Pairs of protocol and project that differ from the snapshot before; null: too many.';
COMMENT ON COLUMN osv_feeds.told IS 'The digest whose news were told: who has what it is about.';

CREATE TABLE quarantine (
    protocol   text NOT NULL,
    project    text NOT NULL,
    file_id    text NOT NULL,
    filename   text NOT NULL,
    version    text NOT NULL,
    sha256     bytea NOT NULL CHECK (octet_length(sha256) = 32),
    advisory   text NOT NULL CHECK (octet_length(advisory) <= 512),
    since      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (protocol, project, file_id, filename)
);
CREATE INDEX quarantine_by_digest ON quarantine (sha256);
COMMENT ON TABLE quarantine IS
    'Stored files of malware: kept for evidence, evicted by nothing, served to nobody but an operator who asks for one.';
