// Twin of equations/elman.py: a = p + h_prev W_hhᵀ,  h = (1 - leak) h_prev + leak Φ(a); of one unit and one row.
#pragma once

#include "activations.h"
#include "unit.h"

namespace bptt_cuda {

template <class Phi, bool leaky>
struct Elman {
    static constexpr int gates = 1, keeps = leaky || Phi::keeps_input, separate_gate = -1;
    static constexpr bool has_c = false, one_delta = true;

    template <class P>
    static DEVICE void step(float leak, const float*, const float* a, State& to, float* kept) {
        const float s = Phi::template phi<P>(a[0]);                  // (1) (2)
        to.h = leaky ? (1 - leak) * to.h + leak * s : s;
        if (keeps) kept[0] = Phi::keeps_input ? a[0] : s;
    }

    template <class P>
    static DEVICE void adjoint(float leak, const Recorded& at, State& d, float* delta, float*) {
        const float phi = keeps ? at.kept[0] : at.h;
        delta[0] = Phi::adjoint(leaky ? leak * d.h : d.h, phi);      // (2) into a
        d.h = leaky ? (1 - leak) * d.h : 0;                          // (2) into h_prev
    }
};

}  // namespace bptt_cuda
