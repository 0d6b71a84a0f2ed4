"""The `orchard` command: speaks to a running Orchard over HTTP and needs nothing but the standard library."""
