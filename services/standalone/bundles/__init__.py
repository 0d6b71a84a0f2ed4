"""Takes bundles into an Orchard that needs no network (docs/decisions/0049)."""
