"""Interactive pages, tables and TensorBoard files, made from plain numbers.

A `Page` of plain data comes in, never a tensor or a model; HTML goes out, as one offline file or served live.
Start with `page`, whose scripts and style are the files in `static` and `templates`; `server` and `http_limits`
serve it for `bptt explore`, `run` holds the data of a training run, `tables` prints scores in the terminal.
"""
