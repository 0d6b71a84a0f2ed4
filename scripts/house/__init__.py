"""`python -m scripts.house`: how large the product is, and how much of it one request walks through."""
