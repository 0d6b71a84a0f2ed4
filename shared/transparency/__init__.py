"""The transparency log in the stores: its rows, its tiles, and proofs out of them."""
