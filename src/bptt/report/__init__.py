"""Floor 4: pages and tables made from plain data."""
