"""A training run's results for people: the data of its page, tables in the terminal and TensorBoard files.

Plain numbers come in, never a tensor or a model. `run` holds what `bptt.page` shows of a run, `forecast` and
`losses` prepare its charts, `tables` prints scores in the terminal, `tensorboard` writes event files. Start with
`run`; the page's drawing is in `bptt/page/results`.
"""
