"""Editors of clients' own configuration files: pure, and the standard library alone, as for the command."""
