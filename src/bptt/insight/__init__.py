"""Floor 3: what goes back through time, as numbers."""
