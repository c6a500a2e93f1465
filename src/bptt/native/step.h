// One step of a batch, forward and back, by weights that are read where they lie: to pack them costs more than one product.
#pragma once

#include "backward_walk.h"
#include "forward_walk.h"

namespace bptt::BPTT_ISA {

template <class S>
bool is_one_step(const Call<S>& call) {
    return call.T == 1 && call.B >= 1 && call.B <= chunk_rows && !call.batch_sizes && !call.shared && !call.delta_hh && !call.dh &&
           !call.deterministic;
}

// Dot products need no packing, but sum lanes at the end of each: measured, for few rows beside the length of the sums.
template <class S>
bool prefers_dots(const Call<S>& call) {
    return call.B <= 4 || 8 * call.B <= call.I + call.H;
}

// The threads divide the columns of a product, not the batch: a result does not depend on their number.
template <class S>
Index step_threads(const Call<S>& call, int gates, Index columns) {
    return thread_count(call, call.B, gates, (columns + L<S> - 1) / L<S>);
}

// to (M, n) = Σ A·Wᵀ over the stretches, for rows of W that lie as the stretch says: dot products, MR rows of A by NR of W.
template <class S>
struct Dots {
    Index K;
    const S* a;  // [M,K] rows ra apart
    Index ra;
    const S* w;  // [n,K]
};
template <class S, int MR>
void dot_products(Index M, Index n, const Dots<S>* stretches, int count, S* to, Index ld) {
    constexpr int NR = L<S> / MR;
    for (Index n0 = 0; n0 < n; n0 += NR)
        for (Index m = 0; m < M; m += MR) {
            const Index m0 = std::min(m, M - MR);  // the last tile may overlap the one before
            V<S> acc[MR * NR] = {};
            for (int s = 0; s < count; ++s) {
                const Dots<S>& of = stretches[s];
                const S *a = of.a + m0 * of.ra, *w[NR];
                for (int j = 0; j < NR; ++j) w[j] = of.w + std::min(n0 + j, n - 1) * of.K;
                auto add = [&](Index k, auto read) {
                    V<S> rows[MR];
                    for (int i = 0; i < MR; ++i) rows[i] = read(a + i * of.ra + k);
                    for (int j = 0; j < NR; ++j) {
                        const V<S> column = read(w[j] + k);
                        for (int i = 0; i < MR; ++i) acc[i * NR + j] += rows[i] * column;
                    }
                };
                Index k = 0;
                for (; k + L<S> <= of.K; k += L<S>) add(k, [](const S* p) { return load(p); });
                if (k < of.K) add(k, [&](const S* p) { return load(p, of.K - k); });
            }
            S sums[L<S>];
            store(sums, lane_sums<S>(acc));
            for (int i = 0; i < MR; ++i) std::memcpy(to + (m0 + i) * ld + n0, sums + i * NR, NR * sizeof(S));
        }
}

// The same with as many rows at a time as suits M. A row's results do not depend on the others.
template <class S>
void dot_products(Index M, Index n, const Dots<S>* stretches, int count, S* to, Index ld) {
    constexpr int most = L<S> >= 8 ? 4 : 2;
    if (M >= most) return dot_products<S, most>(M, n, stretches, count, to, ld);
    M == 1 ? dot_products<S, 1>(M, n, stretches, count, to, ld) : dot_products<S, 2>(M, n, stretches, count, to, ld);
}

// The read-out of one step: out = y·W_outᵀ + b_out.
template <class S>
void read_out(const Call<S>& call) {
    const Index B = call.B, H = call.H, O = call.O;
    const Index parts = 2.0 * B * H * O < little_work ? 1 : std::min<Index>(call.threads, O);
    for_each_part(parts, parts, [&](Index part) {
        const Index n0 = O * part / parts, n = O * (part + 1) / parts - n0, ld = round_up(n, L<S>);
        auto sums = buffer<S>(B * ld);
        const Dots<S> of_y{H, call.y, H, call.W_out + n0 * H};
        dot_products<S>(B, n, &of_y, 1, sums.get(), ld);
        for (Index r = 0; r < B; ++r)
            for (Index j = 0; j < n; ++j)
                call.out[r * O + n0 + j] = sums[r * ld + j] + (call.b_out ? call.b_out[n0 + j] : S(0));
    });
}

template <class S, class Cell>
void forward_step(const Call<S>& call, bool from_zero) {
    constexpr Index units = Cell::vectors * L<S>, width = Cell::gates * units;
    constexpr int NV = Cell::gates * Cell::vectors;
    const Index B = call.B, H = call.H, panels = (H + units - 1) / units, threads = step_threads(call, Cell::gates, H);
    const Index parts = std::min(threads, panels);
    for_each_part(parts, parts, [&](Index part) {
        auto sums = buffer<S>(B * width), input = buffer<S>(B * width);  // input: the separate gate's part of x
        for (Index p = panels * part / parts; p < panels * (part + 1) / parts; ++p) {
            const Index u0 = p * units, n = std::min(units, H - u0);
            V<S> bias[NV], separate_bias[NV];
            for (int j = 0; j < NV; ++j) {
                bias[j] = bias_at<S, Cell>(call, j / Cell::vectors, u0 + j % Cell::vectors * L<S>, false);
                separate_bias[j] = bias_at<S, Cell>(call, j / Cell::vectors, u0 + j % Cell::vectors * L<S>, true);
            }
            for (int g = 0; g < Cell::gates; ++g) {
                const Dots<S> both[] = {{call.I, call.x, call.x_row, call.W_ih + (g * H + u0) * call.I},
                                        {H, call.h0, H, call.W_hh + (g * H + u0) * H}};
                const int recurrent = from_zero && all_finite<S>(both[1].w, n * H) ? 0 : 1;
                if (g != Cell::separate_gate) {
                    dot_products<S>(B, n, both, 1 + recurrent, sums.get() + g * units, width);
                } else {
                    dot_products<S>(B, n, both, 1, input.get() + g * units, width);
                    dot_products<S>(B, n, both + 1, recurrent, sums.get() + g * units, width);
                }
            }
            for (Index r = 0; r < B; ++r) {
                V<S> acc[NV];
                for (int j = 0; j < NV; ++j) {
                    const bool apart = j / Cell::vectors == Cell::separate_gate;
                    S* of_x = input.get() + r * width + j * L<S>;
                    if (apart) store(of_x, load(of_x) + bias[j]);
                    acc[j] = load(sums.get() + r * width + j * L<S>) + (apart ? separate_bias[j] : bias[j]);
                }
                const Index at = r * H + u0;
                ForwardUnits<S> here{H - u0, call.h0 + at, Cell::has_c ? call.c0 + at : nullptr, call.y + at,
                                     Cell::has_c ? (call.c ? call.c : call.c_n) + at : nullptr,
                                     call.kept ? call.kept + r * Cell::keeps * H + u0 : nullptr};
                Cell::template finish<S>(call, acc, input.get() + r * width, here);
            }
        }
    });
    if (call.h_n) std::copy_n(call.y, B * H, call.h_n);
    if (call.c && call.c_n != call.c) std::copy_n(call.c, B * H, call.c_n);
}

// A product A·B, or a sum of them, for B whose rows lie ldb apart.
template <class S>
struct Stretch {
    Index K;
    const S* a;  // element (m, k) at a[m·ra + k·ka]
    const S* b;  // [K,N]
};
template <class S>
struct Stretches {
    Index ra, ka, ldb, K = 0;
    std::vector<Stretch<S>> each;
    void add(Index size, const S* a, const S* b) {  // blocks of it, each summed by itself: see multiply_blocks
        for (Index k = 0; k < size; k += block)
            each.push_back({std::min(block, size - k), a + k * ka, b + k * ldb}), K += each.back().K;
    }
};

// The columns from n0 on of NV vectors, for all M rows: to = base + A·B, base null for zeros.
template <class S, int NV>
void product_panel(Index M, Index N, Index n0, const Stretches<S>& terms, const S* base, Index ld_base, S* to, Index ld) {
    constexpr Index width = NV * L<S>;
    constexpr int most = tile_rows<NV>;
    const bool copied = n0 + width > N || M > 4 * most;  // else each row of B is read a few times only
    Buffer<S> packed;
    if (copied) {
        packed = buffer<S>(terms.K * width);
        S* next = packed.get();
        for (const Stretch<S>& s : terms.each) pack_panel(next, s.b, terms.ldb, s.K, N, n0, width), next += s.K * width;
    }
    const Index tiles = (M + most - 1) / most;
    for (Index tile = 0; tile < tiles; ++tile) {
        const Index first = M * tile / tiles, rows = M * (tile + 1) / tiles - first;
        with_rows<most>(static_cast<int>(rows), [&](auto size) {
            constexpr int MR = decltype(size)::value;
            V<S> acc[MR][NV], total[MR][NV];
            set_zero<S>(acc), set_zero<S>(total);
            const S* b = packed.get();
            for (std::size_t i = 0; i < terms.each.size(); ++i) {
                const Stretch<S>& s = terms.each[i];
                set_zero<S>(acc);
                const S* a = s.a + first * terms.ra;
                if constexpr (NV == 2)
                    multiply_tile<S, MR, NV>(false, s.K, a, terms.ra, terms.ka, copied ? b : s.b + n0, copied ? width : terms.ldb, acc);
                else
                    multiply_rows<S, MR, NV>(s.K, a, terms.ra, terms.ka, copied ? b : s.b + n0, copied ? width : terms.ldb, acc);
                if (copied) b += s.K * width;
                add_tile<S>(acc, total);
                if (i + 1 == terms.each.size()) break;
                copy_tile<S>(total, acc);
                asm("" : "+m"(total));  // keep it in memory: the registers belong to the stretch
            }
            for (int i = 0; i < MR; ++i)
                for (int j = 0; j < NV; ++j) {
                    const Index n = n0 + j * L<S>, lanes_left = N - n;
                    if (lanes_left <= 0) break;
                    if (base) acc[i][j] += load(base + (first + i) * ld_base + n, lanes_left);
                    store(to + (first + i) * ld + n, acc[i][j], lanes_left);
                }
        });
    }
}

// The columns n0 <= n < n1.
template <class S>
void product_in_place(
    Index M, Index N, Index n0, Index n1, const Stretches<S>& terms, const S* base, Index ld_base, S* to, Index ld) {
    constexpr int wide = 8;  // for few rows, of which each alone has too few accumulators
    while (n0 < n1) {
        const bool fits = M <= tile_rows<wide> && n0 + wide * L<S> <= n1;
        if (fits)
            product_panel<S, wide>(M, N, n0, terms, base, ld_base, to, ld);
        else
            product_panel<S, 2>(M, N, n0, terms, base, ld_base, to, ld);
        n0 += (fits ? wide : 2) * L<S>;
    }
}

template <class S, class Cell>
void backward_step(const Call<S>& call) {
    const Index B = call.B, I = call.I, H = call.H, K = Cell::gates * H;
    const std::vector<Index> starts = {0, B};
    const Part all{0, B, &starts, nullptr};
    BackwardState<S, Cell> state(call, all);
    state.find_delta(0, state.delta.get());
    const S *delta = state.delta.get(), *recurrent = delta + Cell::recurrent_block * H;
    const Index ldd = state.ldd, parts = step_threads(call, 2 * Cell::gates, std::min(I, H));
    auto by_row = [&](Index ldb) { return Stretches<S>{ldd, 1, ldb, 0, {}}; };
    auto by_unit = [&](Index ldb) { return Stretches<S>{1, ldd, ldb, 0, {}}; };
    for_each_part(parts, parts, [&](Index part) {
        auto bound = [&](Index N, Index p) { return p == parts ? N : N * p / parts / (2 * L<S>) * (2 * L<S>); };
        if (call.dh0) {
            Stretches<S> terms = by_row(H);
            terms.add(K, recurrent, call.W_hh);
            product_in_place(B, H, bound(H, part), bound(H, part + 1), terms, static_cast<const S*>(state.dh.get()), state.ldh, call.dh0, H);
        }
        if (call.dx) {
            Stretches<S> terms = by_row(I);
            for (int g = 0; g < Cell::gates; ++g) terms.add(H, delta + g * H, call.W_ih + Cell::input_order[g] * H * I);
            product_in_place<S>(B, I, bound(I, part), bound(I, part + 1), terms, nullptr, 0, call.dx, I);
        }
        const Index u0 = bound(H, part), n = bound(H, part + 1) - u0;
        for (int g = 0; g < Cell::gates; ++g) {
            const S *of_x = delta + g * H + u0, *of_h = recurrent + g * H + u0;
            const Index to_x = Cell::input_order[g] * H + u0, to_h = g * H + u0;
            auto outer = [&](S* to, const S* d, const S* rows, Index ld, Index columns) {
                if (to == nullptr) return;
                constexpr Index few = 4 * tile_rows<2>;  // rows of the gradient at a time, so that whole rows are written
                Stretches<S> terms = by_unit(ld);
                terms.add(B, d, rows);
                for (Index m = 0; m < n; m += few) {
                    product_in_place<S>(std::min(few, n - m), columns, 0, columns, terms, nullptr, 0, to + m * columns, columns);
                    for (Stretch<S>& s : terms.each) s.a += few;
                }
            };
            outer(call.dW_ih ? call.dW_ih + to_x * I : nullptr, of_x, call.x, call.x_row, I);
            outer(call.dW_hh ? call.dW_hh + to_h * H : nullptr, of_h, call.h0, H, H);
            auto sum = [&](S* to, const S* d) {
                if (to == nullptr) return;
                std::fill_n(to, n, S(0));
                add_columns(to, n, B, d, ldd);
            };
            sum(call.db_ih ? call.db_ih + to_x : nullptr, of_x);
            sum(call.db_hh ? call.db_hh + to_h : nullptr, of_h);
        }
    });
    if (Cell::has_c) state.copy_state(call.dc0, state.dc.get());
}

// A walk of any length; the step's own functions for one step of rows so few that packing would take longer than it saves.
// A deterministic result does not depend on how many rows there are, so there it is always the walk.
template <class S, class Cell>
void forward(const Call<S>& given) {
    const WithInitialState<S> started(given);
    const bool from_zero = given.h0 == nullptr;
    if (is_one_step(given) && prefers_dots(given))
        forward_step<S, Cell>(started.call, from_zero);
    else
        forward_walk<S, Cell>(started.call, from_zero);
    if (given.out) read_out(given);
}
template <class S, class Cell>
void backward(const Call<S>& given) {
    const WithInitialState<S> started(given);
    if (is_one_step(given)) return backward_step<S, Cell>(started.call);
    backward_walk<S, Cell>(started.call);
}

}  // namespace bptt::BPTT_ISA
