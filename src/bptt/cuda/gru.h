// Twin of equations/gru.py, of one unit and one row. kept: r, z, n, m.
#pragma once

#include "platform.h"
#include "unit.h"

namespace bptt_cuda {

struct GRU {
    static constexpr int gates = 3, keeps = 4, separate_gate = 2;
    static constexpr bool has_c = false, one_delta = false;

    template <class P>
    static DEVICE void step(float, const float* p, const float* a, State& to, float* kept) {
        const float r = P::sigmoid(a[0]);                            // (1)
        const float z = P::sigmoid(a[1]);                            // (2)
        const float m = a[2];                                        // (3)
        const float n = P::tanh(p[2] + r * m);                       // (4)
        to.h = (1 - z) * n + z * to.h;                               // (5)
        kept[0] = r, kept[1] = z, kept[2] = n, kept[3] = m;
    }

    template <class P>
    static DEVICE void adjoint(float, const Recorded& at, State& d, float* delta_ih, float* delta_hh) {
        const float r = at.kept[0], z = at.kept[1], n = at.kept[2], m = at.kept[3];
        const float delta_z = d.h * (at.h_prev - n) * z * (1 - z);   // (5) into z, (2)
        const float delta_n = d.h * (1 - z) * (1 - n * n);           // (5) into n, (4)
        const float delta_r = delta_n * m * r * (1 - r);             // (4) into r, (1)
        delta_ih[0] = delta_hh[0] = delta_r;
        delta_ih[1] = delta_hh[1] = delta_z;
        delta_ih[2] = delta_n;
        delta_hh[2] = delta_n * r;                                   // (4) into m
        d.h *= z;                                                    // (5) into h_prev
    }
};

}  // namespace bptt_cuda
