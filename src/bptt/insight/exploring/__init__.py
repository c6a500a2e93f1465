"""A network and a sequence as plain data for a page, and the changes its reader makes. Start at `exploration`."""
