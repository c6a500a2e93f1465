"""A run from its options to its folder, and the folder opened again.

Options and data come in; a trained run goes out, as a folder on disk and as a `Run`. `preparing` checks everything
before anything is written, `journal` and `snapshot_keeper` write the folder while the network trains, and `result`
has the scores for metrics, report and terminal. Start with `run`: the opened run and its verbs, which read
`run_folder` and `new_data`.
"""
