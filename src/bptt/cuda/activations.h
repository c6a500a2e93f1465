// Twin of equations/activations.py: Φ(a), and ∂L/∂a from ∂L/∂s in terms of what is kept: s, or a for gelu.
#pragma once

#include "platform.h"

namespace bptt_cuda {

struct Tanh {
    static constexpr bool keeps_input = false;
    template <class P> static DEVICE float phi(float a) { return P::tanh(a); }
    static DEVICE float adjoint(float ds, float s) { return ds * (1 - s * s); }
};
struct Relu {
    static constexpr bool keeps_input = false;
    template <class P> static DEVICE float phi(float a) { return a < 0 ? 0 : a; }
    static DEVICE float adjoint(float ds, float s) { return s <= 0 ? 0 : ds; }
};
struct Sigmoid {
    static constexpr bool keeps_input = false;
    template <class P> static DEVICE float phi(float a) { return P::sigmoid(a); }
    static DEVICE float adjoint(float ds, float s) { return ds * (s * (1 - s)); }
};
struct Softplus {
    static constexpr bool keeps_input = false;
    template <class P> static DEVICE float phi(float a) { return (a > 0 ? a : 0) + log1pf(expf(-fabsf(a))); }
    static DEVICE float adjoint(float ds, float s) { return ds * -expm1f(-s); }
};
struct Gelu {
    static constexpr bool keeps_input = true;
    static DEVICE float normal(float a) { return 0.5f * (1 + erff(a * 0.70710678f)); }
    template <class P> static DEVICE float phi(float a) { return a * normal(a); }
    static DEVICE float adjoint(float ds, float a) { return ds * (normal(a) + a * expf(-0.5f * a * a) * 0.39894228f); }
};
struct Identity {
    static constexpr bool keeps_input = false;
    template <class P> static DEVICE float phi(float a) { return a; }
    static DEVICE float adjoint(float ds, float) { return ds; }
};

}  // namespace bptt_cuda
