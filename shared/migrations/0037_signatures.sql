-- What verifying a registry's own signature of a file came to.

ALTER TABLE provenances ADD COLUMN signature text NOT NULL DEFAULT ''
    CHECK (signature IN ('', 'verified', 'failed'));
