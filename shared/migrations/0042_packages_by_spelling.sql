-- no transaction
-- Packages are found whatever capitals and separators somebody writes (services/gateway/api/search.py); the last
-- policy file that was applied is found among all that was changed.
DROP INDEX CONCURRENTLY IF EXISTS packages_by_spelling;
CREATE INDEX CONCURRENTLY packages_by_spelling
    ON packages (protocol, (translate(lower(name COLLATE "C"), '_.', '--')));
DROP INDEX CONCURRENTLY IF EXISTS audit_of_policy;
CREATE INDEX CONCURRENTLY audit_of_policy ON audit (id) WHERE action = 'policy.apply';
