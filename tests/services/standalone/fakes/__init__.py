"""Small programs that stand in the services' places, so that the supervisor is tested alone."""
