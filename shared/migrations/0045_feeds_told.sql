-- What a feed has told since the state that was told last may be of several states.

ALTER TABLE osv_feeds ADD COLUMN told_read_at timestamptz;
COMMENT ON COLUMN osv_feeds.told_read_at IS 'When the state was read whose news were told last.';
