"""Real projects, recorded, and built again where there is nothing but what was recorded."""
