-- What verifying the attestations of files came to, by their digests.

CREATE TABLE provenances (
    protocol   text NOT NULL CHECK (octet_length(protocol) <= 32),
    project    text NOT NULL CHECK (octet_length(project) <= 512),
    digest     text NOT NULL CHECK (octet_length(digest) <= 128),
    status     text NOT NULL CHECK (status IN ('verified', 'failed', 'unknown')),
    kind       text NOT NULL CHECK (octet_length(kind) <= 2048),
    repository text NOT NULL CHECK (octet_length(repository) <= 2048),
    workflow   text NOT NULL CHECK (octet_length(workflow) <= 2048),
    why        text NOT NULL CHECK (octet_length(why) <= 2048),
    root       text NOT NULL CHECK (octet_length(root) <= 64),
    checked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (protocol, project, digest)
);
COMMENT ON TABLE provenances IS 'Who published a file, as its verified attestations say (docs/decisions/0047).';
COMMENT ON COLUMN provenances.digest IS 'Hex; of which algorithm is its protocol''s matter.';
COMMENT ON COLUMN provenances.root IS 'Which trust root it was verified against.';
