"""Weight files: reading them without trusting them, and turning each official format into our networks."""
