"""Floor 2: how far back the gradient reaches."""
