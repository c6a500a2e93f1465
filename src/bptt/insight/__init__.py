"""The gradient before it is summed over time, as numbers, sentences and pictures.

A model, x, d and a criterion go in. `contributions` splits the gradient of a loss by step; `lesson` explains,
derives and draws the error of one step; `diagnosis` says whether the gradient vanishes or explodes; `agreement`
checks it; `exploring` computes the numbers behind the interactive page. `recorder` splits the gradient of the
recurrent modules inside any model, and `probe` measures it in a training loop. Start at `contributions`: it
records a forward pass and runs the backward pass (`plain_models`), and sets every error against every step
(`pairs`, `lags`).
"""
