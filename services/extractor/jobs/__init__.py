"""One module for each kind of job that extractors run."""
