"""The tasks: training, validation and test set of each, its loss, its score and its baselines."""
