// How numbers lie in memory, in shared memory and in the operands of a product; state and sums are float32 in all.
#pragma once

#include "platform.h"

namespace bptt_cuda {

// A lane of a warp: g = lane / 4 and q = lane % 4, by which the operands of a product are divided among the lanes.
struct Lane {
    int g, q;
};

template <class Format>
struct Half {
    typedef half_bits Element;
    static constexpr int K = 16, bytes = 2;  // columns of a in one product; of a number in shared memory
    struct alignas(16) A { unsigned r[4]; };
    struct B { unsigned b0, b1; };
    // One row of the batch, N numbers. The 4 words more spread the rows' accesses over all banks.
    template <int N> struct Row { unsigned words[N / 2 + 4]; };

    static DEVICE float load(const Element* p) { return Format::from(*p); }
    static DEVICE void store(Element* p, float v) { *p = Format::to(v); }

    // A lane's part of a matrix (16, 16), whose element (m, k) is get(m, k).
    template <class Get> static DEVICE A fragment(Get get, Lane at) {
        const int g = at.g, k = 2 * at.q;
        return {{Format::pack(get(g, k), get(g, k + 1)), Format::pack(get(g + 8, k), get(g + 8, k + 1)),
                 Format::pack(get(g, k + 8), get(g, k + 9)), Format::pack(get(g + 8, k + 8), get(g + 8, k + 9))}};
    }
    template <int N> static DEVICE B get(const Row<N>& row, int k, int q) {
        return {row.words[k / 2 + q], row.words[k / 2 + q + 4]};
    }
    template <int N> static DEVICE void put(Row<N>& row, int k, float v) {
        reinterpret_cast<half_bits*>(row.words)[k] = Format::to(v);
    }
    static DEVICE void multiply(float (&d)[4], const A& a, B b) { Format::mma(d, a.r, b.b0, b.b1); }
    static DEVICE float tanh(float v) { return tanh_approx(v); }
    static DEVICE float sigmoid(float v) { return 0.5f * tanh_approx(0.5f * v) + 0.5f; }
};
typedef Half<Bfloat16> Bf16;
typedef Half<Float16> Fp16;

// float32 as a sum of two TF32 numbers, and a product as three: low·high + high·low + high·high.
struct F32 {
    typedef float Element;
    static constexpr int K = 8, bytes = 8;
    struct Pair { unsigned high, low; };
    struct alignas(16) A { unsigned high[4], low[4]; };
    struct B { Pair b0, b1; };
    template <int N> struct Row { Pair pairs[N + 4]; };

    static DEVICE float load(const Element* p) { return *p; }
    static DEVICE void store(Element* p, float v) { *p = v; }
    static DEVICE Pair split(float v) {
        const unsigned high = to_tf32(v);
        return {high, to_tf32(v - as_float(high))};
    }
    static DEVICE A split(float a0, float a1, float a2, float a3) {
        const Pair p[4] = {split(a0), split(a1), split(a2), split(a3)};
        return {{p[0].high, p[1].high, p[2].high, p[3].high}, {p[0].low, p[1].low, p[2].low, p[3].low}};
    }
    template <class Get> static DEVICE A fragment(Get get, Lane at) {
        const int g = at.g, q = at.q;
        return split(get(g, q), get(g + 8, q), get(g, q + 4), get(g + 8, q + 4));
    }
    template <int N> static DEVICE B get(const Row<N>& row, int k, int q) { return {row.pairs[k + q], row.pairs[k + q + 4]}; }
    template <int N> static DEVICE void put(Row<N>& row, int k, float v) { row.pairs[k] = split(v); }
    static DEVICE void multiply(float (&d)[4], const A& a, B b) {
        mma_tf32(d, a.low, b.b0.high, b.b1.high);
        mma_tf32(d, a.high, b.b0.low, b.b1.low);
        mma_tf32(d, a.high, b.b0.high, b.b1.high);
    }
    static DEVICE float tanh(float v) { return tanhf(v); }
    static DEVICE float sigmoid(float v) { return 1.0f / (1.0f + expf(-v)); }
};

// float32 in half the memory: weights and h, or delta, lie as they are, and are split where they are multiplied.
struct F32Unsplit : F32 {
    static constexpr int bytes = 4;
    struct alignas(16) A { float v[4]; };
    template <int N> struct Row { float numbers[N + 4]; };

    template <class Get> static DEVICE A fragment(Get get, Lane at) {
        const int g = at.g, q = at.q;
        return {{get(g, q), get(g + 8, q), get(g, q + 4), get(g + 8, q + 4)}};
    }
    template <int N> static DEVICE B get(const Row<N>& row, int k, int q) {
        return {split(row.numbers[k + q]), split(row.numbers[k + q + 4])};
    }
    template <int N> static DEVICE void put(Row<N>& row, int k, float v) { row.numbers[k] = v; }
    static DEVICE void multiply(float (&d)[4], const A& a, B b) {
        F32::multiply(d, split(a.v[0], a.v[1], a.v[2], a.v[3]), b);
    }
};

}  // namespace bptt_cuda
