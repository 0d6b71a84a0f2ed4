-- What an operator says of a source beyond its address (shared/sources/options.py).

ALTER TABLE upstream_sources ADD COLUMN options jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(options) = 'object');
COMMENT ON COLUMN upstream_sources.options IS 'SourceOptions; an absent key has its default.';

CREATE OR REPLACE FUNCTION shown_source(source upstream_sources) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_object(
        'id', source.id, 'protocol', source.protocol, 'name', source.name, 'url', source.url,
        'priority', source.priority, 'enabled', source.enabled, 'origin', source.origin,
        'include', source.include, 'exclude', source.exclude, 'allowed_hosts', source.allowed_hosts,
        'allow_private', source.allow_private, 'options', source.options,
        'has_credentials', source.sealed <> '' OR source.username <> '' OR source.password <> '')
$$;
