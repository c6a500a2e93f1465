"""Whether the gradient vanishes or explodes as it is backpropagated, and what to do about it.

A model, x, d and a criterion go in; a `Diagnosis` comes out. Start at `diagnose`: it measures the gradient by
lag, each layer (`layers`, by the Jacobians' products and Lyapunov exponents), how far back x predicts d
(`input_memory`) and the norms that clipping sees (`clipping`); `verdict` makes a sentence of them, `remedies`
proposes changes, and `trial` tries them. `diagnose_walks` does so for modules recorded inside a model, by the same
steps (`judging`).
"""
