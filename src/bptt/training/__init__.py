"""Floor 3: from a table to a trained network."""
