"""Training a recurrent network: from options and data to a trained network.

Options (`options`) and the user's data (`data`) come in; a trained network, its metrics and its snapshots go out.
A task (`tasks`) turns data into updates and scores, `loop` makes the updates epoch by epoch, on the device that
`device` chooses. `bptt.runs` writes and opens the run folder.
Start with `loop.Training`, then read `updates` for one forward and backward pass, and `tasks.forecast` for an
example of a task.
"""
