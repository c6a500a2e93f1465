"""The interactive page: one file that computes itself, in a browser, without a server.

In come a network and its sequence, which network.py makes plain data; out comes HTML (html.py). `cells/` has the
equations in JavaScript, twins of `bptt.equations`; `compute/` the two passes and what follows from them; `view/`
all that is drawn and clicked; `results/` a training run's charts and tables; modules.py makes one script of them.
Start with html.py and compute/network.js.
"""
