// The kernels of one instruction set, as functions of a call, and the properties of the cells they compute.
#pragma once

#include "call.h"

namespace bptt {

template <class S>
using Kernel = void (*)(const Call<S>&);

struct CellKernels {
    const char* name;  // as in the cell's equations
    int gates;         // blocks of H rows in its weights
    int keeps;         // (·, H) tensors that a walk keeps for its backward pass, beside the states
    bool has_c;
    bool reads_output;  // nothing is kept where the activation's derivative is a function of y
    bool one_delta;     // delta against W_ih and against W_hh are the same
    Kernel<float> forward32, backward32;
    Kernel<double> forward64, backward64;
};

constexpr int n_cells = 3;
using Table = CellKernels[n_cells];

const Table& table_portable();
#if defined(BPTT_X86)
const Table& table_avx2();
const Table& table_avx512();
#endif

}  // namespace bptt
