"""One error's backward pass, written out as in the lesson: in numbers, in symbols and as a picture.

In come a network, a sequence and the step t of an error; out come an `Explanation` (numbers by step), a
`Derivation` (the chain rule, term by term) and a `Diagram` (SVG). All three are views of two things: the numbers
of E_t's backward pass (backward.py) and the edges of the unfolded network (edges.py), in the lesson's letters
(notation.py). Start with explain.py; chain.py and recursions.py write the symbols, layout.py, flows.py and
drawing.py the picture.
"""
