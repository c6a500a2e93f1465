"""One gradient by several routes, compared. Start at `check`."""
