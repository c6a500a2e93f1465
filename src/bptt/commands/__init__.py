"""Floor 5: what each command does, one file a command."""
