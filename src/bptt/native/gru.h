// Twin of equations/gru.py. kept: r, z, n, m; delta's blocks: n, r, z, m. The blocks for W_ih (n, r, z) and those for W_hh
// (r, z, m) then lie side by side.
#pragma once

#include "cell.h"

namespace bptt::BPTT_ISA {

struct GRU {
    static constexpr const char* name = "GRU";
    static constexpr int gates = 3, keeps = 4;
    static constexpr bool has_c = false, reads_output = false;
    static constexpr int vectors = 1, separate_gate = 2, blocks = 4, recurrent_block = 1;
    static constexpr int input_order[] = {2, 0, 1};

    template <class S>
    static void finish(const Call<S>& call, V<S> (&acc)[3], const S* p, const ForwardUnits<S>& at) {
        V<S> r = sigmoid<S>(acc[0]);              // (1)
        V<S> z = sigmoid<S>(acc[1]);              // (2)
        V<S> m = acc[2];                          // (3)
        V<S> n = tanh<S>(load(p + 2 * L<S>) + r * m);  // (4)
        V<S> h_prev = load(at.h_prev, at.lanes_left);
        V<S> h = rounded<S>((S(1) - z) * n) + z * h_prev;  // (5)
        store(at.y, h, at.lanes_left);
        if (at.kept == nullptr) return;
        V<S> kept[] = {r, z, n, m};
        for (int g = 0; g < 4; ++g) store(at.kept + g * call.H, kept[g], at.lanes_left);
    }

    template <class S>
    static void adjoint(const Call<S>&, Index H, const BackwardUnits<S>& at) {
        V<S> r = load(at.kept, at.lanes_left), z = load(at.kept + H, at.lanes_left);
        V<S> n = load(at.kept + 2 * H, at.lanes_left), m = load(at.kept + 3 * H, at.lanes_left);
        V<S> h_prev = load(at.h_prev, at.lanes_left), dh = load(at.dh) + at.dy;
        V<S> delta_z = dh * (h_prev - n) * z * (S(1) - z);          // (5) into z, (2)
        V<S> delta_n = dh * (S(1) - z) * (S(1) - n * n);            // (5) into n, (4)
        V<S> delta_r = delta_n * m * r * (S(1) - r);                // (4) into r, (1)
        V<S> dm = delta_n * r;                                      // (4) into m
        V<S> blocks[] = {delta_n, delta_r, delta_z, dm};
        for (int g = 0; g < 4; ++g) store(at.delta + g * H, blocks[g], at.lanes_left);
        store(at.dh, dh * z);                                       // (5) into h_prev
    }
};

}  // namespace bptt::BPTT_ISA
