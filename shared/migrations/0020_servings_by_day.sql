-- Sums of servings by day (docs/decisions/0041): who has what is asked of these, however often it was served.

DROP INDEX servings_by_file;

CREATE TABLE servings_daily (
    day       date NOT NULL,
    file_id   integer NOT NULL,
    client_id integer NOT NULL,
    times     bigint NOT NULL,
    first_at  timestamptz NOT NULL,
    last_at   timestamptz NOT NULL,
    result    smallint NOT NULL,
    code      text NOT NULL CHECK (octet_length(code) <= 64),
    PRIMARY KEY (file_id, client_id, result, code, day) INCLUDE (times, first_at, last_at)
) PARTITION BY RANGE (day);
COMMENT ON TABLE servings_daily IS
    'Sums of servings, written in the same statement: who has what is asked of these, however often it was served.';

CREATE OR REPLACE FUNCTION add_servings_day(wanted date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    suffix text := to_char(wanted, 'YYYYMMDD');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('servings'));
    IF to_regclass('servings_' || suffix) IS NULL THEN
        -- Attached afterwards: that lets readers and writers of the other days go on.
        EXECUTE format('CREATE TABLE %I (LIKE servings INCLUDING ALL)', 'servings_' || suffix);
        EXECUTE format('ALTER TABLE servings ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                       'servings_' || suffix, wanted || ' 00:00:00+00', (wanted + 1) || ' 00:00:00+00');
        EXECUTE format('CREATE TABLE %I (LIKE servings_daily INCLUDING ALL) WITH (fillfactor = 80)',
                       'servings_daily_' || suffix);
        EXECUTE format('ALTER TABLE servings_daily ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                       'servings_daily_' || suffix, wanted, wanted + 1);
    END IF;
END $$;

CREATE OR REPLACE FUNCTION drop_servings_before(oldest date) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    name    text;
    dropped integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('servings'));
    FOR name IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent IN ('servings'::regclass, 'servings_daily'::regclass)
            AND right(c.relname, 8) < to_char(oldest, 'YYYYMMDD')
    LOOP
        EXECUTE format('DROP TABLE %I', name);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped / 2;
END $$;

-- Of the days that are there already.
DO $$
DECLARE
    suffix text;
BEGIN
    FOR suffix IN
        SELECT right(c.relname, 8) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'servings'::regclass
    LOOP
        EXECUTE format('CREATE TABLE %I (LIKE servings_daily INCLUDING ALL) WITH (fillfactor = 80)',
                       'servings_daily_' || suffix);
        EXECUTE format('ALTER TABLE servings_daily ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                       'servings_daily_' || suffix, to_date(suffix, 'YYYYMMDD'), to_date(suffix, 'YYYYMMDD') + 1);
    END LOOP;
END $$;

INSERT INTO servings_daily (day, file_id, client_id, result, code, times, first_at, last_at)
SELECT (at AT TIME ZONE 'UTC')::date, file_id, client_id, result, code, sum(times), min(at), max(at)
FROM servings GROUP BY 1, 2, 3, 4, 5;
