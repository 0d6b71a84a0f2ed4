-- Webhooks (docs/decisions/0053): where events go, and what has not been delivered yet.

CREATE TABLE webhooks (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text NOT NULL UNIQUE CHECK (octet_length(name) BETWEEN 1 AND 128),
    url           text NOT NULL CHECK (octet_length(url) BETWEEN 1 AND 2048),
    types         text[] NOT NULL CHECK (cardinality(types) BETWEEN 1 AND 64),
    mode          text NOT NULL CHECK (mode IN ('structured', 'binary')),
    allow_private boolean NOT NULL,
    sealed        text NOT NULL CHECK (octet_length(sealed) BETWEEN 1 AND 16384),
    paused        text NOT NULL DEFAULT '' CHECK (paused IN ('', 'operator', 'dead', 'gone')),
    tries         integer NOT NULL DEFAULT 0,
    failing_since timestamptz,
    fault         text NOT NULL DEFAULT '' CHECK (octet_length(fault) <= 2048),
    next_at       timestamptz NOT NULL DEFAULT now(),
    holder        text NOT NULL DEFAULT '' CHECK (octet_length(holder) <= 64),
    held_until    timestamptz NOT NULL DEFAULT 'epoch',
    delivered     bigint NOT NULL DEFAULT 0,
    dropped       bigint NOT NULL DEFAULT 0,
    delivered_at  timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    created_by    text NOT NULL DEFAULT ''
);
COMMENT ON COLUMN webhooks.sealed IS 'The secret under ORCHARD_SECRET_KEY, bound to the URL''s origin (shared/sources/box.py).';
COMMENT ON COLUMN webhooks.types IS 'shared/artifacts/webhook_types.py: whole, or up to a * at the end.';
COMMENT ON COLUMN webhooks.paused IS 'Empty: delivered. dead: failed for ORCHARD_WEBHOOK_PAUSE; gone: answered 410.';
COMMENT ON COLUMN webhooks.tries IS 'That failed since the last delivery.';
COMMENT ON COLUMN webhooks.holder IS 'The fetcher that delivers until held_until.';

-- Without a reference to webhooks: one that is removed meanwhile must not fail the change that is told.
CREATE TABLE webhook_outbox (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook bigint NOT NULL,
    event   uuid NOT NULL,
    at      timestamptz NOT NULL,
    type    text NOT NULL,
    subject text NOT NULL,
    data    jsonb NOT NULL
);
CREATE INDEX webhook_outbox_by_webhook ON webhook_outbox (webhook, id);
COMMENT ON TABLE webhook_outbox IS 'A row for each webhook that wants an event, in the transaction of what is told; gone once delivered.';

-- What fetchers have noticed in the Redises, which have no triggers.
CREATE TABLE webhook_noticed (
    subject text PRIMARY KEY,
    since   timestamptz NOT NULL DEFAULT now(),
    told    boolean NOT NULL DEFAULT false,
    last    text NOT NULL DEFAULT ''
);

CREATE FUNCTION tell_webhooks(told text, about text, body jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO webhook_outbox (webhook, event, at, type, subject, data)
    SELECT w.id, e.id, clock_timestamp(), told, about, body
    FROM (SELECT gen_random_uuid() AS id) e, webhooks w
    WHERE w.paused <> 'gone' AND EXISTS (
        SELECT FROM unnest(w.types) AS t (pattern)
        WHERE pattern = told OR (right(pattern, 1) = '*' AND starts_with(told, left(pattern, -1))))
    ORDER BY w.id
$$;

CREATE FUNCTION tell_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell_webhooks('orchard.event.' || NEW.kind, concat_ws('/', nullif(NEW.protocol, ''), nullif(NEW.project, ''), nullif(NEW.filename, '')),
        jsonb_build_object('id', NEW.id, 'kind', NEW.kind, 'protocol', NEW.protocol, 'project', NEW.project,
            'filename', NEW.filename, 'detail', NEW.detail));
    RETURN NULL;
END $$;
CREATE TRIGGER events_told AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION tell_event();

-- TG_ARGV: block, exemption, quarantine, version; then what an insert is called; then what a delete is called.
CREATE FUNCTION tell_row() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    gone boolean := TG_OP = 'DELETE';
    body jsonb := CASE WHEN gone THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END;
BEGIN
    IF body ->> 'sha256' IS NOT NULL THEN
        body := body || jsonb_build_object('sha256', substr(body ->> 'sha256', 3));
    END IF;
    PERFORM tell_webhooks(
        'orchard.' || TG_ARGV[0] || '.' || CASE WHEN gone THEN TG_ARGV[2] ELSE TG_ARGV[1] END,
        concat_ws('/', nullif(body ->> 'protocol', ''), nullif(coalesce(body ->> 'project', body ->> 'name'), ''),
            nullif(body ->> 'version', ''), CASE WHEN coalesce(body ->> 'protocol', '') = '' THEN 'sha256:' || (body ->> 'sha256') END),
        body);
    RETURN NULL;
END $$;
CREATE TRIGGER blocks_told AFTER INSERT OR DELETE ON blocks
    FOR EACH ROW EXECUTE FUNCTION tell_row('block', 'made', 'lifted');
CREATE TRIGGER exemptions_told AFTER INSERT OR DELETE ON exemptions
    FOR EACH ROW EXECUTE FUNCTION tell_row('exemption', 'made', 'ended');
CREATE TRIGGER quarantine_told AFTER INSERT OR DELETE ON quarantine
    FOR EACH ROW EXECUTE FUNCTION tell_row('quarantine', 'begun', 'ended');
CREATE TRIGGER held_versions_told AFTER INSERT ON held_versions
    FOR EACH ROW EXECUTE FUNCTION tell_row('version', 'held', '');
