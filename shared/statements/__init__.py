"""Statements of admissions and of sealed builds (docs/decisions/0048). Pure: facts in, documents out."""
