-- Core metadata that was read before its file was stored (docs/decisions/0033): such a row may be replaced.

-- Every row passed the narrower check: to look at them all again would only hold up who writes.
ALTER TABLE cached_urls DROP CONSTRAINT cached_urls_role_check,
    ADD CONSTRAINT cached_urls_role_check CHECK (role IN ('file', 'metadata', 'provisional')) NOT VALID;
