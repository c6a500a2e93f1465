"""One gradient computed by several routes and compared.

A model, x, d and a criterion go in; a `GradientCheck` comes out: the errors of every route, and which routes
agree. Start at `check`; `routes` computes the gradient by each route, `differences` by finite differences, and
`result` holds the errors and prints them.
"""
