"""One error's way back, written out: `explain`, its derivation in symbols and numbers, its picture."""
