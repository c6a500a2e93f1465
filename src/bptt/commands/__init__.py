"""The commands of `bptt`, one file each, named like the command.

A command's options (a dataclass, parsed by tyro) come in; printed lines, files and an exit code go out. `options`
has the options of every command except `bptt train`, and imports no torch, so that `--help` answers at once. Start
with `command_line`, which runs the command it reads; `train` and `training_result` are the largest, the other
commands open a run folder, with `opening` where they compute on a device. `preparing` checks everything before a
run is written; `streams`, `writing` and `interruption` look after standard input and output, new files and Ctrl-C.
"""
