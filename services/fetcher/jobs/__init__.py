"""The fetcher's jobs, one module each."""
