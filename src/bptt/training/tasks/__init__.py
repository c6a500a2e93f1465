"""The tasks: forecasting a table, classifying sequences, modelling a text.

A run's options come in; a `Task` goes out: its training, validation and test set as updates of the training loop,
its loss, its score and its baselines. Start with `task`, the interface, then `forecast`, the shortest path through
it; `panel` forecasts many series, and `stretch_windows` trains on tables larger than memory. `linear_part` has the
regression beside the network, and `whole_model` how much of the network a forecast takes. `factory` chooses the
task and reads its data; `baselines`, `intervals` and `scores` judge a forecast, and `forecast_rows` writes it.
`sequence_splits` reads and splits a classification's data, `cross_validation` chooses what its options leave open,
and `neighbours` has its baselines.
"""
