"""`make mutants`: small deliberate breaks, each of which some test must notice."""
