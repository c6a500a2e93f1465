// Twin of equations/lstm.py, without a projection. kept: i, f, g, o; c is kept as states.
#pragma once

#include "cell.h"

namespace bptt::BPTT_ISA {

struct LSTM {
    static constexpr const char* name = "LSTM";
    static constexpr int gates = 4, keeps = 4;
    static constexpr bool has_c = true, reads_output = false;
    static constexpr int vectors = 1, separate_gate = -1, blocks = 4, recurrent_block = 0;
    static constexpr int input_order[] = {0, 1, 2, 3};

    template <class S>
    static void finish(const Call<S>& call, V<S> (&acc)[4], const S*, const ForwardUnits<S>& at) {
        V<S> i = sigmoid<S>(acc[0]);  // (1)
        V<S> f = sigmoid<S>(acc[1]);  // (2)
        V<S> g = tanh<S>(acc[2]);     // (3)
        V<S> o = sigmoid<S>(acc[3]);  // (4)
        V<S> c = rounded<S>(f * load(at.c_prev, at.lanes_left)) + i * g;  // (5)
        V<S> h = o * tanh<S>(c);                        // (6)
        store(at.c, c, at.lanes_left);
        store(at.y, h, at.lanes_left);
        if (at.kept == nullptr) return;
        V<S> kept[] = {i, f, g, o};
        for (int k = 0; k < 4; ++k) store(at.kept + k * call.H, kept[k], at.lanes_left);
    }

    template <class S>
    static void adjoint(const Call<S>&, Index H, const BackwardUnits<S>& at) {
        V<S> i = load(at.kept, at.lanes_left), f = load(at.kept + H, at.lanes_left);
        V<S> g = load(at.kept + 2 * H, at.lanes_left), o = load(at.kept + 3 * H, at.lanes_left);
        V<S> c_prev = load(at.c_prev, at.lanes_left), tanh_c = tanh<S>(load(at.c, at.lanes_left));
        V<S> dh = load(at.dh) + at.dy;
        V<S> dc = load(at.dc) + dh * o * (S(1) - tanh_c * tanh_c);  // (6) into c
        V<S> delta_o = dh * tanh_c * o * (S(1) - o);                // (6) into o, (4)
        V<S> delta_i = dc * g * i * (S(1) - i);                     // (5) into i, (1)
        V<S> delta_f = dc * c_prev * f * (S(1) - f);                // (5) into f, (2)
        V<S> delta_g = dc * i * (S(1) - g * g);                     // (5) into g, (3)
        V<S> blocks[] = {delta_i, delta_f, delta_g, delta_o};
        for (int k = 0; k < 4; ++k) store(at.delta + k * H, blocks[k], at.lanes_left);
        store(at.dh, broadcast<S>(0));
        store(at.dc, dc * f);  // (5) into c_prev
    }
};

}  // namespace bptt::BPTT_ISA
