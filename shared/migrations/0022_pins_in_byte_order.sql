-- no transaction
-- Pins whose name begins so, as packages are listed: a range of the index (docs/decisions/0039).
DROP INDEX CONCURRENTLY IF EXISTS project_pins_in_byte_order;
CREATE INDEX CONCURRENTLY project_pins_in_byte_order ON project_pins (protocol, project COLLATE "C");
