"""The CUDA kernels: a layer's walk through time and its adjoint, fused over time, compiled when first used.

The C++ files are twins of `equations`, named alike; `walk.h` has the two kernels. `plan` chooses, from a cell and
its sizes, which of their variants runs, or says why none does; `compiling` gives its machine code; `arguments` is
what a kernel reads; `launching` runs it. `walks.cuda` calls them. Tests run the same source on a CPU; nothing of
it has been run on a GPU. Start reading at `walk.h`, then `plan`.
"""
