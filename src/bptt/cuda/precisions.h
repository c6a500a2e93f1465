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
    static constexpr int K = 16;  // columns of a in one product
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
    // Write number k of a row, in the shared memory of all C blocks of the cluster.
    template <int C, int N> static DEVICE void put(Row<N>& row, int k, float v) {
        half_bits* here = reinterpret_cast<half_bits*>(row.words) + k;
        if constexpr (C == 1) *here = Format::to(v);
        else
            for (int rank = 0; rank < C; ++rank) store_in_block(here, rank, Format::to(v));
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
    static constexpr int K = 8;
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
    template <class Get> static DEVICE A fragment(Get get, Lane at) {
        const int g = at.g, q = at.q;
        const Pair p[4] = {split(get(g, q)), split(get(g + 8, q)), split(get(g, q + 4)), split(get(g + 8, q + 4))};
        return {{p[0].high, p[1].high, p[2].high, p[3].high}, {p[0].low, p[1].low, p[2].low, p[3].low}};
    }
    template <int N> static DEVICE B get(const Row<N>& row, int k, int q) { return {row.pairs[k + q], row.pairs[k + q + 4]}; }
    template <int C, int N> static DEVICE void put(Row<N>& row, int k, float v) {
        const Pair pair = split(v);
        if constexpr (C == 1) row.pairs[k] = pair;
        else
            for (int rank = 0; rank < C; ++rank) {
                store_in_block(&row.pairs[k].high, rank, pair.high);
                store_in_block(&row.pairs[k].low, rank, pair.low);
            }
    }
    static DEVICE void multiply(float (&d)[4], const A& a, B b) {
        mma_tf32(d, a.low, b.b0.high, b.b1.high);
        mma_tf32(d, a.high, b.b0.low, b.b1.low);
        mma_tf32(d, a.high, b.b0.high, b.b1.high);
    }
    static DEVICE float tanh(float v) { return tanhf(v); }
    static DEVICE float sigmoid(float v) { return 1.0f / (1.0f + expf(-v)); }
};

}  // namespace bptt_cuda
