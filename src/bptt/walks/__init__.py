"""One layer and direction, or a whole stack of them, through time, forward and back.

In comes a `Call`: a cell's equations, x (T, B, I), the initial state and the weights; out come h of every step and
the final state, under autograd. `door` asks the backends in order and takes the first that does not refuse:
`cuda` (the CUDA kernels), `cudnn` (all layers of a `Stack` in one call), `cpu` (the fused CPU kernels),
`reference` (plain operations and the cell's own adjoint), `plain` (plain operations under autograd). Start reading
at `door.walk`, then `unfold`, which every backend must agree with.
"""
