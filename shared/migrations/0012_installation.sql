-- The random name of this installation: in Via, by which a request that comes back is known (shared/http/via.py).
-- A database that was copied for another installation wants another: UPDATE installation SET id = DEFAULT.

CREATE TABLE installation (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    id  text NOT NULL DEFAULT replace(gen_random_uuid()::text, '-', '') CHECK (id ~ '^[0-9a-f]{8,64}$')
);
COMMENT ON TABLE installation IS 'One row.';
INSERT INTO installation DEFAULT VALUES;

-- Services read it with tokens and blocks: a newer revision has them read anew, and copied for those that start
-- without a database.
INSERT INTO access_revision AS current (one, revision)
VALUES (true, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
ON CONFLICT (one) DO UPDATE SET revision = greatest(current.revision + 1, excluded.revision);
