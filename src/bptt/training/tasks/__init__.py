"""The tasks: forecasting a table, classifying sequences, modelling a text.

A run's options come in; a `Task` goes out: its training, validation and test set as updates of the training loop,
its loss, its score and its baselines. Start with `task`, the interface, then `forecast`, the shortest path through
it; `panel` forecasts many series, `streamed` a table larger than memory. `factory` chooses the task and reads its
data; `baselines`, `intervals` and `scores` judge a forecast. `cross_validation` chooses what the options of a
classification leave open, and `neighbours` has its baselines.
"""
