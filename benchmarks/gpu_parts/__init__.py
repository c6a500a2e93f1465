"""The parts of `benchmarks/gpu.py`, a file each.

A part takes a device, whether to use tiny sizes, and a clock, and yields a `Line` for each thing it measured.
`cases` has every kind of stack that cuDNN takes; `measuring` times steps and reads their peak memory. Start with
`correct` and `speed`.
"""
