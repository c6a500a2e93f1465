"""The data behind the page of `bptt explore`, and the changes its reader makes.

In come a network and a sequence, and a reader's changes as plain data, checked in experiment.py; out comes an
`Exploration` (exploration.py), every number the page shows, as plain lists. Start with `explore`.
"""
