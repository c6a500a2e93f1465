"""Contributions inside any model: the walks of its recurrent modules, recorded as it runs.

A model of any kind goes in, with torch.nn's recurrent modules or bptt's in it. `record` takes them over for a
while (`taken_over`) and keeps each call (`calls`, `loops`); a backward pass of the model's own loss then gives
what each step contributed to the gradient of every recurrent weight (`by_module`), as a `model_contributions`.
Start at `record`; `walk_node` is a walk's place in the graph, and `by_pair` backpropagates many errors through it.
"""
