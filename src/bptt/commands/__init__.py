"""The commands of `bptt`, one file each, named like the command.

A command's options (a dataclass, parsed by tyro) come in; printed lines, files and an exit code go out. `options`
has the options of every command except `bptt train`, and imports no torch, so that `--help` answers at once. Start
with `command_line`, which runs the command it reads; most commands are thin layers over `bptt.runs` and open a run
folder, with `opening` where they compute on a device. `streams` and `writing` look after standard input and output
and new files.
"""
