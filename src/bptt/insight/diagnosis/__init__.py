"""Whether the gradient reaches as far back as the data need, and what to do. Start at `diagnose`."""
