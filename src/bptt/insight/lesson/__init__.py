"""One error's backward pass, written out as in the lesson: in numbers, in symbols and as a picture.

In come a network, a sequence and the step t of an error; out come an `Explanation` (numbers by step), a
`Derivation` (the chain rule, term by term) and a `Diagram` (SVG). Start with explain.py. Everything is made once,
as data: letters in notation.py, edges in edges.py, backward passes in backward.py and chosen_walk.py, each step's
part in explanation.py, formulas in recursions.py and chain.py, flows and places in flows.py and layout.py.
formulas.py and drawing.py only render it.
"""
