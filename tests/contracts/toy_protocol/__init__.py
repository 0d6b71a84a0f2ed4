"""A protocol made for the tests: plain text indexes, one file a line."""
