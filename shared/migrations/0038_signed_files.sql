-- What verifying the signature beside a file came to (docs/decisions/0055): of each name the last.

CREATE TABLE signed_files (
    protocol   text NOT NULL CHECK (octet_length(protocol) <= 32),
    project    text NOT NULL CHECK (octet_length(project) <= 512),
    entry      text NOT NULL CHECK (octet_length(entry) <= 512),
    filename   text NOT NULL CHECK (octet_length(filename) <= 512),
    sha256     text NOT NULL CHECK (octet_length(sha256) = 64),
    status     text NOT NULL CHECK (status IN ('verified', 'failed', 'missing')),
    signer     text NOT NULL CHECK (octet_length(signer) <= 64),
    why        text NOT NULL CHECK (octet_length(why) <= 2048),
    mark       text NOT NULL CHECK (octet_length(mark) <= 64),
    checked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (protocol, project, entry, filename)
);
COMMENT ON COLUMN signed_files.entry IS 'Under which its project''s list has it: the version.';
COMMENT ON COLUMN signed_files.mark IS 'Which keys were asked for.';
