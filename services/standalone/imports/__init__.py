"""Takes files out of folders and other caches' stores into an Orchard (docs/decisions/0058)."""
