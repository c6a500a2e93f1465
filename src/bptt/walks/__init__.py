"""Floor 1: one layer and direction through time, and back. `door` picks who walks; `unfold` is the reference."""
