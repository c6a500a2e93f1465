"""One gradient computed by several routes and compared.

A model, x, d and a criterion go in, or a model and a function of it; a `GradientCheck` comes out: the errors of
every route, and which routes agree. Start at `check`; `problems` holds the loss in float64, `routes` computes its
gradient by each route, `differences` by finite differences, and `result` holds the errors and prints them.
"""
