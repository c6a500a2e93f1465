// Twin of equations/lstm.py, of one unit and one row. kept: i, f, g, o.
#pragma once

#include "platform.h"
#include "unit.h"

namespace bptt_cuda {

struct LSTM {
    static constexpr int gates = 4, keeps = 4, separate_gate = -1;
    static constexpr bool has_c = true, one_delta = true;

    template <class P>
    static DEVICE void step(float, const float*, const float* a, State& to, float* kept) {
        const float i = P::sigmoid(a[0]);                            // (1)
        const float f = P::sigmoid(a[1]);                            // (2)
        const float g = P::tanh(a[2]);                               // (3)
        const float o = P::sigmoid(a[3]);                            // (4)
        to.c = f * to.c + i * g;                                     // (5)
        to.h = o * P::tanh(to.c);                                    // (6)
        kept[0] = i, kept[1] = f, kept[2] = g, kept[3] = o;
    }

    template <class P>
    static DEVICE void adjoint(float, const Recorded& at, State& d, float* delta, float*) {
        const float i = at.kept[0], f = at.kept[1], g = at.kept[2], o = at.kept[3], tanh_c = P::tanh(at.c);
        d.c += d.h * o * (1 - tanh_c * tanh_c);                      // (6) into c
        delta[3] = d.h * tanh_c * o * (1 - o);                       // (6) into o, (4)
        delta[0] = d.c * g * i * (1 - i);                            // (5) into i, (1)
        delta[1] = d.c * at.c_prev * f * (1 - f);                    // (5) into f, (2)
        delta[2] = d.c * i * (1 - g * g);                            // (5) into g, (3)
        d.h = 0;
        d.c *= f;                                                    // (5) into c_prev
    }
};

}  // namespace bptt_cuda
