"""Backups: a folder with the objects once and a snapshot of the database for each time
(docs/decisions/0046)."""
