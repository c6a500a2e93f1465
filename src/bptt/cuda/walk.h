// A layer's walk through time and its adjoint. A block walks 8 rows of the batch; with C > 1 a cluster of C blocks
// shares their units, and each block writes h, or delta, to the shared memory of all, 16 bytes at a time.
//
// A warp has 16 units: their rows of W_hh forward, their columns back, are operands of products that stay where they
// are for all steps, in registers or in shared memory; what does not fit there is read from global memory, which is
// the L2 cache, in each step. h, or delta, of the 8 rows lies in shared memory twice, so a step has one barrier. Each
// thread has two units of two rows, of every gate: what is elementwise stays in registers.
#pragma once

#include "elman.h"
#include "gru.h"
#include "lstm.h"
#include "precisions.h"

namespace bptt_cuda {

struct Arguments {  // the twin of arguments.py
    int T, B, H, N;             // steps, rows of the batch, units, and rows of all steps together
    int recorded;               // rows of the recorded batch, of which that of the backward pass has copies
    float leak;
    const int* sizes;           // [T]  each step's rows, not increasing; null where all steps have B
    const void* p;              // [N,G·H]  the pre-activations' input part, with every bias but b_hh of a separate gate
    const void *W_hh, *b_hh;    // [G·H,H], [G·H] or null
    const void* operands;       // [warps of all blocks,operands,32] W_hh as a warp's lanes multiply it, or null
    const float *h0, *c0;       // [B,H]
    void *y, *kept;             // [N,H], [N,keeps,H] or null
    float *c, *h_n, *c_n;       // [N,H] or null, [B,H], [B,H]
    const void* dy;             // [N,H] or null
    const float *dh_n, *dc_n;   // [B,H] or null
    void *delta_ih, *delta_hh;  // [N,G·H]
    void* dh;                   // [N,H] or null
    float *d_h0, *d_c0;         // [B,H]
};

struct Place {  // of a thread: units unit, unit + 8 of rows row, row + 1
    Lane lane;
    int unit, column, row;
    DEVICE Place(int units, int C) {
        const int warp = threadIdx.x / 32, in_warp = threadIdx.x % 32;
        lane = {in_warp / 4, in_warp % 4};
        unit = (C > 1 ? int(cluster_rank()) * units : 0) + warp * 16 + lane.g;
        column = 2 * lane.q;
        row = int(blockIdx.x / C) * 8 + column;
    }
    DEVICE int first_unit() const { return unit - lane.g; }
    DEVICE int first_row() const { return row - column; }
};
typedef long long Offset;  // 64 bits on every system; long has 32 on Windows
DEVICE Offset place_of(int row, int width, int at) { return Offset(row) * width + at; }

// The states of a thread's units and rows, or their adjoints, into (B, H).
template <bool has_c>
DEVICE void store_states(const State (&states)[4], const bool (&there)[4], const Place& at, int H, float* h, float* c) {
#pragma unroll
    for (int e = 0; e < 4; ++e)
        if (there[e]) {
            const Offset to = place_of(at.row + e % 2, H, at.unit + e / 2 * 8);
            h[to] = states[e].h;
            if (has_c) c[to] = states[e].c;
        }
}

// A warp's operands, which stay for the whole walk.
template <class A, int N, bool in_shared> struct Held {
    A all[N];
    DEVICE Held(unsigned char*) {}
    DEVICE A& operator[](int n) { return all[n]; }
};
template <class A, int N> struct Held<A, N, true> {
    A* mine;  // [N][32], of this lane
    DEVICE Held(unsigned char* shared)
        : mine(reinterpret_cast<A*>(shared) + (threadIdx.x / 32) * N * 32 + threadIdx.x % 32) {}
    DEVICE A& operator[](int n) { return mine[n * 32]; }
};
// A lane's part of all N operands of its warp, in global memory, 32 apart.
template <class A, int N> DEVICE const A* streamed(const void* operands, const Place& at) {
    return static_cast<const A*>(operands) + Offset(at.first_unit() / 16) * N * 32 + threadIdx.x % 32;
}

// Copies G stretches of a warp's 16 units in 8 rows, so far apart, to all blocks of the cluster.
template <class P, int C, int G, class Row> DEVICE void share(Row* rows, int first, int apart) {
    constexpr int chunks = 8 * P::bytes;                  // of a stretch
    constexpr int ranks = chunks < 32 ? 32 / chunks : 1;  // to which a warp stores at once
    const int lane = threadIdx.x % 32;
    warp_barrier();
#pragma unroll
    for (int j = 0; j < G; ++j)
#pragma unroll
        for (int from = 0; from < chunks; from += 32) {
            const int chunk = (from + lane) % chunks, at = (j * apart + first) * P::bytes / 16 + chunk % P::bytes;
            const Chunk* here = reinterpret_cast<Chunk*>(rows + chunk / P::bytes) + at;
            const Chunk value = *here;
#pragma unroll
            for (int rank = 0; rank < C; rank += ranks) store_in_block(here, rank + lane / chunks % ranks, value);
        }
}

template <int C> DEVICE void barrier() {
    if constexpr (C > 1) cluster_barrier();
    else block_barrier();
}

// most: the most products of a sum whose operands of W_hh are held in shared memory; the others are streamed.
template <class P, class Cell, int units, int C, bool packed, bool in_shared, int most = 1 << 20>
KERNEL(2 * units) forward(Arguments a) {
    constexpr int G = Cell::gates, K = C * units, KT = K / P::K, held = most < KT ? most : KT, chains = G == 1 ? 2 : 1;
    typedef typename P::Element Element;
    typedef typename P::template Row<K> Row;
    SHARED_BYTES(bytes);
    Row* states = reinterpret_cast<Row*>(bytes);  // [2][8]
    const Place at(units, C);
    const int H = a.H;

    const Element* W_hh = static_cast<const Element*>(a.W_hh);
    Held<typename P::A, G * held, in_shared> W(bytes + 16 * sizeof(Row));
    const typename P::A* others = streamed<typename P::A, G * KT>(a.operands, at);
#pragma unroll(in_shared ? 1 : G * held)
    for (int n = 0; n < G * held; ++n)
        W[n] = P::fragment([&](int m, int k) {
            const int u = at.first_unit() + m, from = n / G * P::K + k;
            return u < H && from < H ? P::load(W_hh + place_of(n % G * H + u, H, from)) : 0.f;
        }, at.lane);

    State state[4];
    float separate[4] = {}, next[G][4];
    bool there[4];
#pragma unroll
    for (int e = 0; e < 4; ++e) {
        const int u = at.unit + e / 2 * 8, row = at.row + e % 2;
        there[e] = u < H && row < a.B;
        state[e].h = there[e] ? a.h0[place_of(row, H, u)] : 0;
        state[e].c = Cell::has_c && there[e] ? a.c0[place_of(row, H, u)] : 0;
        if (Cell::separate_gate >= 0 && u < H && a.b_hh)
            separate[e] = P::load(static_cast<const Element*>(a.b_hh) + Cell::separate_gate * H + u);
    }
    for (int i = threadIdx.x; i < 8 * K; i += 2 * units) {
        const int row = at.first_row() + i / K, u = i % K;
        P::put(states[i / K], u, u < H && row < a.B ? a.h0[place_of(row, H, u)] : 0.f);
    }

    auto fetch = [&](int first, int rows) {  // p of a step
#pragma unroll
        for (int e = 0; e < 4; ++e) {
            const int row = at.row + e % 2;
            const Element* from = static_cast<const Element*>(a.p) + place_of(first + row, G * H, at.unit + e / 2 * 8);
#pragma unroll
            for (int j = 0; j < G; ++j) next[j][e] = there[e] && row < rows ? P::load(from + j * H) : 0.f;
        }
    };
    int rows = packed ? a.sizes[0] : a.B, first = 0;
    fetch(0, rows);
    barrier<C>();
    for (int t = 0; t < a.T && at.first_row() < rows; ++t) {
        const Row* now = states + (t & 1) * 8;
        Row* then = states + (1 - (t & 1)) * 8;
        const int rows_then = t + 1 == a.T ? 0 : packed ? a.sizes[t + 1] : a.B;
        float p[G][4], sums[G][chains][4] = {};
#pragma unroll
        for (int j = 0; j < G; ++j)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                p[j][e] = next[j][e];
                sums[j][0][e] = j == Cell::separate_gate ? separate[e] : next[j][e];
            }
        fetch(first + rows, rows_then);
#pragma unroll(in_shared ? 4 : KT)
        for (int k = 0; k < held; ++k) {
            const typename P::B h = P::get(now[at.lane.g], k * P::K, at.lane.q);
#pragma unroll
            for (int j = 0; j < G; ++j) P::multiply(sums[j][k % chains], W[k * G + j], h);
        }
#pragma unroll 4
        for (int k = held; k < KT; ++k) {
            const typename P::B h = P::get(now[at.lane.g], k * P::K, at.lane.q);
#pragma unroll
            for (int j = 0; j < G; ++j) P::multiply(sums[j][(k - held) % chains], others[(k * G + j) * 32], h);
        }
#pragma unroll
        for (int e = 0; e < 4; ++e) {
            const int row = at.row + e % 2, u = at.unit + e / 2 * 8;
            if (there[e] && row < rows) {
                float p_e[G], a_e[G], kept[Cell::keeps ? Cell::keeps : 1];
#pragma unroll
                for (int j = 0; j < G; ++j) p_e[j] = p[j][e], a_e[j] = sums[j][0][e] + (chains == 2 ? sums[j][chains - 1][e] : 0.f);
                Cell::template step<P>(a.leak, p_e, a_e, state[e], kept);
                const Offset to = place_of(first + row, H, u);
                P::store(static_cast<Element*>(a.y) + to, state[e].h);
                if (Cell::has_c && a.c) a.c[to] = state[e].c;
                if (Cell::keeps && a.kept)
#pragma unroll
                    for (int k = 0; k < Cell::keeps; ++k)
                        P::store(static_cast<Element*>(a.kept) + place_of(first + row, Cell::keeps * H, k * H + u), kept[k]);
            }
            P::put(then[at.column + e % 2], u, state[e].h);
        }
        if constexpr (C > 1) share<P, C, 1>(then, at.first_unit(), K);
        first += rows;
        rows = rows_then;
        barrier<C>();
    }
    store_states<Cell::has_c>(state, there, at, H, a.h_n, a.c_n);
}

template <class P, class Cell, int units, int C, bool packed, bool in_shared, int most = 1 << 20>
KERNEL(2 * units) backward(Arguments a) {
    constexpr int G = Cell::gates, K = C * units, KT = G * K / P::K, held = most < KT ? most : KT;
    typedef typename P::Element Element;
    typedef typename P::template Row<G * K> Row;
    SHARED_BYTES(bytes);
    Row* deltas = reinterpret_cast<Row*>(bytes);  // [2][8]
    const Place at(units, C);
    const int H = a.H;

    const Element* W_hh = static_cast<const Element*>(a.W_hh);
    Held<typename P::A, held, in_shared> W(bytes + 16 * sizeof(Row));
    const typename P::A* others = streamed<typename P::A, KT>(a.operands, at);
#pragma unroll(in_shared ? 1 : held)
    for (int n = 0; n < held; ++n)
        W[n] = P::fragment([&](int m, int k) {
            const int u = at.first_unit() + m, gate = (n * P::K + k) / K, from = (n * P::K + k) % K;
            return u < H && from < H ? P::load(W_hh + place_of(gate * H + from, H, u)) : 0.f;
        }, at.lane);

    State d[4];
    bool there[4];
    int recorded_row[2];
#pragma unroll
    for (int e = 0; e < 4; ++e) {
        const int u = at.unit + e / 2 * 8, row = at.row + e % 2;
        there[e] = u < H && row < a.B;
        d[e].h = there[e] && a.dh_n ? a.dh_n[place_of(row, H, u)] : 0;
        d[e].c = Cell::has_c && there[e] && a.dc_n ? a.dc_n[place_of(row, H, u)] : 0;
        recorded_row[e % 2] = row % a.recorded;
    }

    int first = a.N, recorded = packed ? a.N : a.T * a.recorded;  // the first row of a step, here and in the recording
    if (C > 1) barrier<C>();  // every block has started before one writes to another
    for (int t = a.T - 1; t >= 0; --t) {
        const int rows = packed ? a.sizes[t] : a.B, rows_before = t == 0 ? 0 : packed ? a.sizes[t - 1] : a.recorded;
        first -= rows, recorded -= packed ? rows : a.recorded;
        if (at.first_row() >= rows) continue;  // all threads of the cluster alike
        Row* now = deltas + (t & 1) * 8;
#pragma unroll
        for (int e = 0; e < 4; ++e) {
            const int row = at.row + e % 2, u = at.unit + e / 2 * 8;
            float delta_ih[G] = {}, delta_hh[G] = {};
            if (there[e] && row < rows) {
                Recorded values = {};
                const int of_step = recorded + recorded_row[e % 2];
                const Offset here = place_of(of_step, H, u), start = place_of(recorded_row[e % 2], H, u);
                const Offset before = place_of(of_step - rows_before, H, u);
                const Element *y = static_cast<const Element*>(a.y), *kept = static_cast<const Element*>(a.kept);
#pragma unroll
                for (int k = 0; k < Cell::keeps; ++k) values.kept[k] = P::load(kept + place_of(of_step, Cell::keeps * H, k * H + u));
                if (!Cell::keeps) values.h = P::load(y + here);
                if (!Cell::one_delta) values.h_prev = t == 0 ? a.h0[start] : P::load(y + before);
                if (Cell::has_c) values.c = a.c[here], values.c_prev = t == 0 ? a.c0[start] : a.c[before];
                const Offset to = place_of(first + row, H, u);
                if (a.dy) d[e].h += P::load(static_cast<const Element*>(a.dy) + to);
                if (a.dh) P::store(static_cast<Element*>(a.dh) + to, d[e].h);
                Cell::template adjoint<P>(a.leak, values, d[e], delta_ih, Cell::one_delta ? delta_ih : delta_hh);
#pragma unroll
                for (int j = 0; j < G; ++j) {
                    const Offset at_gate = place_of(first + row, G * H, j * H + u);
                    P::store(static_cast<Element*>(a.delta_ih) + at_gate, delta_ih[j]);
                    if (!Cell::one_delta) P::store(static_cast<Element*>(a.delta_hh) + at_gate, delta_hh[j]);
                }
            }
#pragma unroll
            for (int j = 0; j < G; ++j)
                P::put(now[at.column + e % 2], j * K + u, Cell::one_delta ? delta_ih[j] : delta_hh[j]);
        }
        if constexpr (C > 1) share<P, C, G>(now, at.first_unit(), K);
        barrier<C>();
        float sums[2][4] = {};  // two chains of products, each half as long
#pragma unroll(in_shared ? 4 : KT)
        for (int k = 0; k < held; ++k) P::multiply(sums[k % 2], W[k], P::get(now[at.lane.g], k * P::K, at.lane.q));
#pragma unroll 16
        for (int k = held; k < KT; ++k)
            P::multiply(sums[(k - held) % 2], others[k * 32], P::get(now[at.lane.g], k * P::K, at.lane.q));
#pragma unroll
        for (int e = 0; e < 4; ++e)
            if (there[e] && at.row + e % 2 < rows) d[e].h += sums[0][e] + sums[1][e];  // through W_hh into h_prev
    }
    store_states<Cell::has_c>(d, there, at, H, a.d_h0, a.d_c0);
}

}  // namespace bptt_cuda
