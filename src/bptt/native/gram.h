// Gram matrices: the products of a matrix's rows with each other, from which the norm of a sum of outer products follows.
#pragma once

#include "gemm.h"

namespace bptt::BPTT_ISA {

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
