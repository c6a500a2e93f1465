// Twin of equations/elman.py: a = p + h_prev W_hhᵀ,  h = (1 - leak) h_prev + leak Φ(a).
#pragma once

#include "recur.h"

namespace bptt::BPTT_ISA {

struct Elman {
    static constexpr const char* name = "Elman";
    static constexpr int gates = 1, keeps = 1;
    static constexpr bool has_c = false, reads_output = true;
    static constexpr int vectors = 2, apart = -1, blocks = 1, recurrent_block = 0;
    static constexpr int input_order[] = {0};

    template <class S>
    static V<S> phi(int activation, V<S> a) {
        switch (activation) {
            case TANH: return tanh<S>(a);
            case RELU: return a < 0 ? all<S>(0) : a;
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
            case RELU: return kept <= 0 ? all<S>(0) : ds;
            case SIGMOID: return ds * (kept * (S(1) - kept));
            case SOFTPLUS: return ds * -expm1_of_negative<S>(-kept);
            case GELU: return ds * gelu_derivative<S>(kept);
            default: return ds;
        }
    }

    template <class S>
    static void finish(const Layer<S>& layer, V<S> (&acc)[2], const S*, const Here<S>& at) {
        for (int j = 0; j < 2; ++j) {
            const Index i = j * L<S>, left = at.left - i;
            if (left <= 0) return;
            V<S> a = acc[j], s = phi<S>(layer.activation, a), h = s;  // (1) (2)
            if (layer.leak != 1) h = (1 - layer.leak) * load(at.h_prev + i, left) + layer.leak * s;
            if (at.kept) store(at.kept + i, layer.activation == GELU ? a : s, left);
            store(at.y + i, h, left);
        }
    }

    template <class S>
    static void adjoint(const Layer<S>& layer, Index, const HereBack<S>& at) {
        V<S> dh = load(at.dh) + at.dy;
        V<S> phi = load(at.kept ? at.kept : at.y, at.left);
        V<S> delta = phi_adjoint<S>(layer.activation, layer.leak == 1 ? dh : layer.leak * dh, phi);  // (2) into a
        store(at.delta, delta, at.left);
        store(at.dh, layer.leak == 1 ? all<S>(0) : (1 - layer.leak) * dh);  // (2) into h_prev
    }
};

}  // namespace bptt::BPTT_ISA
