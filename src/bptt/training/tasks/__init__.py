"""What is learned: where its numbers come from, and how what was learned is judged."""
