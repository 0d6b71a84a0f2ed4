-- The ledger of servings: which file went to whom, or was refused (docs/decisions/0041).

CREATE TABLE serving_gateways (
    instance text PRIMARY KEY CHECK (octet_length(instance) BETWEEN 1 AND 64),
    last     bigint NOT NULL,
    dropped  bigint NOT NULL DEFAULT 0,
    kept_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE serving_gateways IS
    'The last batch that was kept of each gateway process: written in the statement that keeps its rows, so '
    'that a batch which is read twice is kept once.';

CREATE TABLE serving_clients (
    id      integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key     bytea NOT NULL UNIQUE CHECK (octet_length(key) = 32),
    address text NOT NULL CHECK (octet_length(address) <= 64),
    token   text NOT NULL CHECK (octet_length(token) <= 128),
    tool    text NOT NULL CHECK (octet_length(tool) <= 64),
    version text NOT NULL CHECK (octet_length(version) <= 64),
    seen_on date NOT NULL
);
COMMENT ON COLUMN serving_clients.key IS 'SHA256 over the other columns: some are too long for an index.';
COMMENT ON COLUMN serving_clients.seen_on IS 'Removed when no serving of it can be kept any more.';

CREATE TABLE serving_files (
    id       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key      bytea NOT NULL UNIQUE CHECK (octet_length(key) = 32),
    protocol text NOT NULL CHECK (octet_length(protocol) <= 32),
    project  text NOT NULL CHECK (octet_length(project) <= 512),
    alike    text NOT NULL CHECK (octet_length(alike) <= 512),
    version  text NOT NULL CHECK (octet_length(version) <= 512),
    filename text NOT NULL CHECK (octet_length(filename) <= 1024),
    sha256   bytea NOT NULL CHECK (octet_length(sha256) IN (0, 32)),
    seen_on  date NOT NULL
);
COMMENT ON COLUMN serving_files.alike IS 'One spelling for all that clients take for the same project.';
CREATE INDEX serving_files_by_version ON serving_files (protocol, alike, version);
CREATE INDEX serving_files_by_digest ON serving_files (sha256) WHERE octet_length(sha256) = 32;

CREATE TABLE servings (
    at         timestamptz NOT NULL,
    size_bytes bigint NOT NULL,
    file_id    integer NOT NULL,
    client_id  integer NOT NULL,
    times      integer NOT NULL,
    result     smallint NOT NULL,
    cache      text NOT NULL CHECK (octet_length(cache) <= 16),
    code       text NOT NULL CHECK (octet_length(code) <= 64)
) PARTITION BY RANGE (at);
COMMENT ON TABLE servings IS
    'One partition a day, of UTC; they are made ahead and dropped as ORCHARD_LEDGER_DAYS says. Rows are never changed.';
COMMENT ON COLUMN servings.result IS '0 served, 1 partial, 2 redirected, 3 refused (shared/ledger/batch.py).';
CREATE INDEX servings_by_file ON servings (file_id, at) INCLUDE (client_id, result, times);
CREATE INDEX servings_by_time ON servings (at);

CREATE FUNCTION add_servings_day(wanted date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text := 'servings_' || to_char(wanted, 'YYYYMMDD');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('servings'));
    IF to_regclass(name) IS NULL THEN
        -- Attached afterwards: that lets readers and writers of the other days go on.
        EXECUTE format('CREATE TABLE %I (LIKE servings INCLUDING ALL)', name);
        EXECUTE format('ALTER TABLE servings ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                       name, wanted || ' 00:00:00+00', (wanted + 1) || ' 00:00:00+00');
    END IF;
END $$;

CREATE FUNCTION drop_servings_before(oldest date) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    name    text;
    dropped integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('servings'));
    FOR name IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'servings'::regclass AND c.relname < 'servings_' || to_char(oldest, 'YYYYMMDD')
    LOOP
        EXECUTE format('DROP TABLE %I', name);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;
