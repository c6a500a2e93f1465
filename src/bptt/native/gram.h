// Gram matrices: the products of a matrix's rows with each other, from which the norm of a sum of outer products follows.
#pragma once

#include "gemm.h"

namespace bptt::BPTT_ISA {

template <class S>
inline V<S> permuted(V<S> v, typename Lanes<S>::I from) {
#if defined(__clang__)
    V<S> to;
    for (int i = 0; i < L<S>; ++i) to[i] = v[from[i]];
    return to;
#else
    return __builtin_shuffle(v, from);
#endif
}

// From L vectors one: its lane i is the sum of v[i]'s lanes. Each round halves the number of vectors.
template <class S, int half = L<S> / 2>
inline V<S> lane_sums(V<S>* v) {
    if constexpr (half == 0) {
        return v[0];
    } else {
        typename Lanes<S>::I from, second;
        for (int i = 0; i < L<S>; ++i) from[i] = i ^ half, second[i] = i & half ? -1 : 0;
        for (int i = 0; i < half; ++i) {
            V<S> a = v[i], b = v[i + half];
            v[i] = (second ? b : a) + permuted<S>(second ? a : b, from);
        }
        return lane_sums<S, half / 2>(v);
    }
}

// gram (n, n) += rows · rowsᵀ, for rows of `columns` elements, ld apart.
template <class S>
void add_gram(S* gram, const S* rows, Index ld, Index n, Index columns) {
    constexpr int tile = 4, in_tile = tile * tile, vectors = in_tile > L<S> ? in_tile : L<S>;
    for (Index i0 = 0; i0 < n; i0 += tile)
        for (Index j0 = 0; j0 <= i0; j0 += tile) {
            const S *a[tile], *b[tile];
            for (int i = 0; i < tile; ++i) {
                a[i] = rows + std::min(i0 + i, n - 1) * ld;
                b[i] = rows + std::min(j0 + i, n - 1) * ld;
            }
            V<S> acc[vectors] = {};
            for (Index c = 0; c < columns; c += L<S>) {
                const Index lanes_left = columns - c;
                V<S> second[tile];
                for (int j = 0; j < tile; ++j) second[j] = load(b[j] + c, lanes_left);
                for (int i = 0; i < tile; ++i) {
                    V<S> first = load(a[i] + c, lanes_left);
                    for (int j = 0; j < tile; ++j) acc[i * tile + j] += first * second[j];
                }
            }
            S sum[vectors];
            for (int v = 0; v < vectors; v += L<S>) store(sum + v, lane_sums<S>(acc + v));
            for (Index i = i0; i < std::min(i0 + tile, n); ++i)
                for (Index j = j0; j < std::min(j0 + tile, n); ++j) {
                    const S product = sum[(i - i0) * tile + j - j0];
                    gram[i * n + j] += product;
                    if (i0 != j0) gram[j * n + i] += product;
                }
        }
}

}  // namespace bptt::BPTT_ISA
