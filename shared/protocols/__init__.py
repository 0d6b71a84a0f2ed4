"""The protocols that this Orchard speaks: one explicit tuple. A new protocol is one line here."""
