"""How far back the gradient reaches: truncated and checkpointed BPTT of any model that walks through time.

A model (x, state) -> (y, state), or (x) -> y, x, d and a criterion come in, as tensors, memory maps or chunks;
losses and gradients in `.grad` go out. Start with `truncated` and `checkpointed`, then `walker` and `layout`,
which walk any model piece by piece and find its time axis; `stateful` carries the states that a model hides.
`plan` chooses a schedule by the predictions of `memory`; `replay` carries it out. `transfer` copies data to the
model's device, and `meters` counts the memory there.
"""
