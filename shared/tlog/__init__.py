"""A transparency log without I/O: Merkle trees, tiles, proofs, notes, entries (docs/transparency.md)."""
