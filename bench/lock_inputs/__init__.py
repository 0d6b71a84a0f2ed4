"""`python -m bench.lock_inputs`: locks of real clients as lock inputs."""
