"""What keeps an Orchard from working, found before a client finds it: `orchard doctor`."""
