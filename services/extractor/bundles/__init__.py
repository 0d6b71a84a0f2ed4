"""Makes what stands at the head of a bundle, and signs it (docs/decisions/0049)."""
