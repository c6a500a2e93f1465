// Twin of equations/elman.py: a = p + h_prev W_hhᵀ,  h = (1 - leak) h_prev + leak Φ(a).
#pragma once

#include "cell.h"

namespace bptt::BPTT_ISA {

struct Elman {
    static constexpr const char* name = "Elman";
    static constexpr int gates = 1, keeps = 1;
    static constexpr bool has_c = false, reads_output = true;
    static constexpr int vectors = 2, separate_gate = -1, blocks = 1, recurrent_block = 0;
    static constexpr int input_order[] = {0};

    template <class S>
    static V<S> phi(int activation, V<S> a) {
        switch (activation) {
            case TANH: return tanh<S>(a);
            case RELU: return a < 0 ? broadcast<S>(0) : a;
            case SIGMOID: return sigmoid<S>(a);
            case SOFTPLUS: return softplus<S>(a);
            case GELU: return gelu<S>(a);
            default: return a;
        }
    }

    // ∂L/∂a from ∂L/∂s, in terms of what is kept: s, or a for gelu.
    template <class S>
    static V<S> phi_adjoint(int activation, V<S> ds, V<S> kept) {
        switch (activation) {
            case TANH: return ds * (S(1) - kept * kept);
            case RELU: return kept <= 0 ? broadcast<S>(0) : ds;
            case SIGMOID: return ds * (kept * (S(1) - kept));
            case SOFTPLUS: return ds * -expm1_of_negative<S>(-kept);
            case GELU: return ds * gelu_derivative<S>(kept);
            default: return ds;
        }
    }

    template <class S>
    static void finish(const Call<S>& call, V<S> (&acc)[2], const S*, const ForwardUnits<S>& at) {
        for (int j = 0; j < 2; ++j) {
            const Index i = j * L<S>, lanes_left = at.lanes_left - i;
            if (lanes_left <= 0) return;
            V<S> a = acc[j], s = phi<S>(call.activation, a), h = s;  // (1) (2)
            if (call.leak != 1) h = rounded<S>((1 - call.leak) * load(at.h_prev + i, lanes_left)) + call.leak * s;
            if (at.kept) store(at.kept + i, call.activation == GELU ? a : s, lanes_left);
            store(at.y + i, h, lanes_left);
        }
    }

    template <class S>
    static void adjoint(const Call<S>& call, Index, const BackwardUnits<S>& at) {
        V<S> dh = load(at.dh) + at.dy;
        V<S> phi = load(at.kept ? at.kept : at.y, at.lanes_left);
        V<S> delta = phi_adjoint<S>(call.activation, call.leak == 1 ? dh : call.leak * dh, phi);  // (2) into a
        store(at.delta, delta, at.lanes_left);
        store(at.dh, call.leak == 1 ? broadcast<S>(0) : (1 - call.leak) * dh);  // (2) into h_prev
    }
};

}  // namespace bptt::BPTT_ISA
