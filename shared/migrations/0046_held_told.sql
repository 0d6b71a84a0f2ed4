-- A held version as its registry spells it: `version` is canonical, and names the row.

ALTER TABLE held_versions ADD COLUMN told text NOT NULL DEFAULT '';
COMMENT ON COLUMN held_versions.told IS 'As its registry spells it; empty: noted before this was kept.';
