-- An operator may say that a feed has rightly become smaller (docs/decisions/0042).
ALTER TABLE osv_feeds ADD COLUMN may_shrink boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN osv_feeds.may_shrink IS 'What the feed has at the next look counts, however much of it is gone.';
