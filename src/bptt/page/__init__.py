"""The interactive page: one file that computes itself, in a browser, without a server.

In come a network and its sequence, which network.py makes plain data; out comes HTML. `cells/` has the equations
in JavaScript, twins of `bptt.equations`, `compute/` the two passes and what follows from them; modules.py makes
one script of them. Start with network.py, then compute/network.js.
"""
