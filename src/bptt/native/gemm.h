// Matrix products with one matrix packed in column panels, a tile of registers at a time.
#pragma once

#include <algorithm>
#include <memory>
#include <new>

#include "scratch.h"
#include "vec.h"

namespace bptt::BPTT_ISA {

using Index = std::int64_t;

template <class S>
struct Deleter {
    Index bytes = 0;
    void operator()(S* p) const {
        ::operator delete(p, std::align_val_t(64));
        Scratch::release(bytes);
    }
};
template <class S>
using Buffer = std::unique_ptr<S[], Deleter<S>>;

// Uninitialised memory on a cache line's boundary.
template <class S>
Buffer<S> buffer(Index size) {
    const Index bytes = std::max<Index>(size, 1) * static_cast<Index>(sizeof(S));
    void* p = ::operator new(static_cast<std::size_t>(bytes), std::align_val_t(64));
    prefer_large_pages(p, bytes);
    Scratch::acquire(bytes);
    return Buffer<S>(static_cast<S*>(p), {bytes});
}

inline Index round_up(Index size, Index unit) { return (size + unit - 1) / unit * unit; }

// Rows of a tile of NV vectors: as many accumulators as the registers hold beside the operands.
template <int NV>
constexpr int tile_rows = BPTT_REGISTERS == 32 ? 24 / NV : 12 / NV;

// Always inlined: the accumulators must stay in registers.
#define BPTT_INLINE inline __attribute__((always_inline))

// A tile of accumulators set to zero, copied, added to, loaded and stored; rows ld apart.
template <class S, int MR, int NV>
BPTT_INLINE void set_zero(V<S> (&acc)[MR][NV]) {
    for (auto& row : acc)
        for (auto& vector : row) vector = broadcast<S>(0);
}
template <class S, int MR, int NV>
BPTT_INLINE void load_tile(V<S> (&acc)[MR][NV], const S* from, Index ld) {
    for (int i = 0; i < MR; ++i)
        for (int j = 0; j < NV; ++j) acc[i][j] = load(from + i * ld + j * L<S>);
}
template <class S, int MR, int NV>
BPTT_INLINE void store_tile(const V<S> (&acc)[MR][NV], S* to, Index ld) {
    for (int i = 0; i < MR; ++i)
        for (int j = 0; j < NV; ++j) store(to + i * ld + j * L<S>, acc[i][j]);
}
template <class S, int MR, int NV>
BPTT_INLINE void copy_tile(V<S> (&to)[MR][NV], const V<S> (&from)[MR][NV]) {
    for (int i = 0; i < MR; ++i)
        for (int j = 0; j < NV; ++j) to[i][j] = from[i][j];
}
template <class S, int MR, int NV>
BPTT_INLINE void add_tile(V<S> (&acc)[MR][NV], const V<S> (&other)[MR][NV]) {
    for (int i = 0; i < MR; ++i)
        for (int j = 0; j < NV; ++j) acc[i][j] += other[i][j];
}

// Call f(std::integral_constant<int, m>), 1 <= m <= MAX.
template <int MAX, class F>
inline void with_rows(int m, F&& f) {
    if constexpr (MAX == 1) {
        f(std::integral_constant<int, 1>{});
    } else {
        if (m == MAX) return f(std::integral_constant<int, MAX>{});
        with_rows<MAX - 1>(m, f);
    }
}

// acc += the k-th column of A (MR rows) · the k-th row of B (NV vectors). The compiler reads a vector of B for each of few
// additions of it; a core reads no faster than it adds, so that for few rows it is held in a register.
template <class S, int MR, int NV>
BPTT_INLINE void multiply_once(Index k, const S* a, Index ra, Index ka, const S* b, Index ldb, V<S> (&acc)[MR][NV]) {
    if constexpr (MR == 2 || MR == 3) {
        V<S> left[MR];
        for (int i = 0; i < MR; ++i) left[i] = in_register<S>(a[i * ra + k * ka] - V<S>{});  // broadcast at once
        for (int j = 0; j < NV; ++j) {
            const V<S> right = in_register<S>(load(b + k * ldb + j * L<S>));
            for (int i = 0; i < MR; ++i) acc[i][j] += right * left[i];
        }
    } else {
        V<S> right[NV];
        for (int j = 0; j < NV; ++j) right[j] = load(b + k * ldb + j * L<S>);
        for (int i = 0; i < MR; ++i)
            for (int j = 0; j < NV; ++j) acc[i][j] += right[j] * a[i * ra + k * ka];
    }
}

// acc += A·B for MR rows of A (element (i, k) at a[i·ra + k·ka]) and a panel B of K rows of NV vectors, rows ldb apart.
// A few rows make few independent chains of additions, each of which waits for the one before: K is split into KS chains.
template <class S, int MR, int NV, int KS>
BPTT_INLINE void multiply(Index K, const S* a, Index ra, Index ka, const S* b, Index ldb, V<S> (&acc)[MR][NV]) {
    V<S> chain[KS][MR][NV];
    for (auto& tile : chain) set_zero<S>(tile);
    Index k = 0;
    for (; k + KS <= K; k += KS)
        for (int c = 0; c < KS; ++c) multiply_once<S>(k + c, a, ra, ka, b, ldb, chain[c]);
    for (; k < K; ++k) multiply_once<S>(k, a, ra, ka, b, ldb, acc);
    for (const auto& tile : chain) add_tile<S>(acc, tile);
}
template <class S, int MR, int NV>
BPTT_INLINE void multiply_rows(Index K, const S* a, Index ra, Index ka, const S* b, Index ldb, V<S> (&acc)[MR][NV]) {
    for (Index k = 0; k < K; ++k) multiply_once<S>(k, a, ra, ka, b, ldb, acc);
}
// one_chain: a row's sums are then the same in a tile of any number of rows.
template <class S, int MR, int NV>
BPTT_INLINE void multiply_tile(
    bool one_chain, Index K, const S* a, Index ra, Index ka, const S* b, Index ldb, V<S> (&acc)[MR][NV]) {
    constexpr int wanted = MR <= 2 ? 4 / MR : 1, fit = BPTT_REGISTERS * 3 / 4 / (MR * NV);
    constexpr int chains = std::min(wanted, fit);  // more of them than registers would be stored and read again
    if constexpr (chains > 1)
        if (!one_chain) return multiply<S, MR, NV, chains>(K, a, ra, ka, b, ldb, acc);
    multiply_rows<S, MR, NV>(K, a, ra, ka, b, ldb, acc);
}

// The same, but each block of K is summed by itself first: rounding then grows with the number of blocks, not with K.
constexpr Index block = 256;
template <class S, int MR, int NV>
BPTT_INLINE void multiply_blocks(bool one_chain, Index K, const S* a, Index ra, Index ka, const S* b, V<S> (&acc)[MR][NV]) {
    V<S> total[MR][NV];
    copy_tile<S>(total, acc);
    for (Index k = 0; k < K; k += block) {
        asm("" : "+m"(total));  // keep it in memory: the registers belong to the block
        set_zero<S>(acc);
        multiply_tile<S, MR, NV>(one_chain, std::min(block, K - k), a + k * ka, ra, ka, b + k * NV * L<S>, NV * L<S>, acc);
        add_tile<S>(total, acc);
    }
    copy_tile<S>(acc, total);
}

// The product A (M×K) · B (panels), tile by tile: start(acc, row, panel) fills the accumulators of the tile that begins at
// that row and panel, finish(acc, row, panel) takes them. Both are generic in the tile's rows.
template <class S, int NV, int most, bool long_sums, class Start, class Finish>
void tiles(
    bool one_chain, Index M, Index K, Index panels, const S* a, Index ra, Index ka, const S* b, Start& start, Finish& finish) {
    Index tiles = (M + most - 1) / most;
    for (Index p = 0; p < panels; ++p)
        for (Index tile = 0; tile < tiles; ++tile) {
            Index first = M * tile / tiles, rows = M * (tile + 1) / tiles - first;
            with_rows<most>(static_cast<int>(rows), [&](auto size) {
                constexpr int MR = decltype(size)::value;
                V<S> acc[MR][NV];
                start(acc, first, p);
                const S *rows = a + first * ra, *panel = b + p * K * NV * L<S>;
                if constexpr (long_sums)
                    multiply_blocks<S, MR, NV>(one_chain, K, rows, ra, ka, panel, acc);
                else
                    multiply_tile<S, MR, NV>(one_chain, K, rows, ra, ka, panel, NV * L<S>, acc);
                finish(acc, first, p);
            });
        }
}
template <class S, int NV, int most = tile_rows<NV>, class Start, class Finish>
inline void product(
    bool one_chain, Index M, Index K, Index panels, const S* a, Index ra, Index ka, const S* b, Start&& start, Finish&& finish) {
    if (K <= block)
        tiles<S, NV, most, false>(one_chain, M, K, panels, a, ra, ka, b, start, finish);
    else
        tiles<S, NV, most, true>(one_chain, M, K, panels, a, ra, ka, b, start, finish);
}

// Pack the panel of B (K×N), rows ld apart, whose columns begin at n0: K rows of `width` elements, zeros past N.
template <class S>
void pack_panel(S* to, const S* b, Index ld, Index K, Index N, Index n0, Index width) {
    for (Index k = 0; k < K; ++k, b += ld, to += width)
        for (Index j = 0; j < width; j += L<S>)
            store(to + j, n0 + j < N ? load(b + n0 + j, N - n0 - j) : broadcast<S>(0));
}

// Whether no value is infinite or NaN.
template <class S>
bool all_finite(const S* values, Index n) {
    constexpr int chains = 4;
    V<S> zeros[chains] = {};  // 0 · x is NaN where x is not finite
    Index k = 0;
    for (; k + chains * L<S> <= n; k += chains * L<S>)
        for (int c = 0; c < chains; ++c) zeros[c] += load(values + k + c * L<S>) * S(0);
    for (; k < n; k += L<S>) zeros[0] += load(values + k, n - k) * S(0);
    S sums[L<S>];
    store(sums, (zeros[0] + zeros[1]) + (zeros[2] + zeros[3]));
    return std::all_of(sums, sums + L<S>, [](S sum) { return sum == 0; });
}

// Pack Wᵀ for a cell of G gates, W (G·H, K): panel p holds `vectors` vectors of units of each gate, gate after gate.
// These are the panels from p0 to p1.
template <class S>
void pack_gates(S* to, const S* W, int G, int vectors, Index H, Index K, Index p0, Index p1) {
    const Index units = vectors * L<S>, width = G * units;
    for (Index p = p0; p < p1; ++p)
        for (Index j = 0; j < width; j += L<S>)  // a few rows of W at a time, which the caches can fetch ahead
            for (Index k = 0; k < K; k += L<S>) {
                const Index g = j / units, first = p * units + j % units, columns = std::min<Index>(L<S>, K - k);
                V<S> square[L<S>];
                for (int i = 0; i < L<S>; ++i)
                    square[i] = first + i < H ? load(W + (g * H + first + i) * K + k, K - k) : broadcast<S>(0);
                transpose<S>(square);
                for (Index i = 0; i < columns; ++i) store(to + (p * K + k + i) * width + j, square[i]);
            }
}

}  // namespace bptt::BPTT_ISA
