// Any cell's forward walk through time.
#pragma once

#include <atomic>

#include "cell.h"
#include "parts.h"

namespace bptt::BPTT_ISA {

// The biases as the accumulators begin with them: of the gates, and of the separate gate's recurrent part, which stays out.
template <class S, class Cell>
V<S> bias_at(const Call<S>& call, int gate, Index u, bool separate) {
    V<S> sum = broadcast<S>(0);
    if (separate && gate != Cell::separate_gate) return sum;
    const Index at = gate * call.H + u, lanes_left = call.H - u;
    if (lanes_left <= 0) return sum;
    if (call.b_ih && !separate) sum += load(call.b_ih + at, lanes_left);
    if (call.b_hh && separate == (gate == Cell::separate_gate)) sum += load(call.b_hh + at, lanes_left);
    return sum;
}

// Weights packed once a call, shared by the threads.
template <class S, class Cell>
struct ForwardWeights {
    static constexpr int NV = Cell::gates * Cell::vectors;
    static constexpr Index units = Cell::vectors * L<S>;
    Index panels, width;
    Buffer<S> W, bias;  // W: one piece of memory, which the C library keeps where it would return one of two each time
    S *W_ih, *W_hh;
    std::atomic<bool> skips_zeros = true;  // W_hh is finite: its product with a zero state is zero
    ForwardWeights(const Call<S>& call, bool from_zero, Index threads) : panels((call.H + units - 1) / units), width(NV * L<S>) {
        W = buffer<S>(panels * width * (call.I + call.H));
        W_ih = W.get(), W_hh = W_ih + panels * width * call.I;
        bias = buffer<S>(2 * panels * width);  // two rows: of the gates, then of the separate gate's recurrent part
        for_each_part(threads, threads, [&](Index part) {
            const Index p0 = panels * part / threads, p1 = panels * (part + 1) / threads;
            pack_gates<S>(W_ih, call.W_ih, Cell::gates, Cell::vectors, call.H, call.I, p0, p1);
            for (Index p = p0; p < p1; ++p) {  // a panel is checked as it comes into the cache
                const Index u0 = p * units, n = std::min(units, call.H - u0);
                for (int g = 0; from_zero && g < Cell::gates; ++g)
                    if (!all_finite<S>(call.W_hh + (g * call.H + u0) * call.H, n * call.H)) skips_zeros = false;
                pack_gates<S>(W_hh, call.W_hh, Cell::gates, Cell::vectors, call.H, call.H, p, p + 1);
            }
        });
        for (Index p = 0; p < panels; ++p)
            for (int j = 0; j < NV; ++j) {
                const Index u = p * units + j % Cell::vectors * L<S>, at = p * width + j * L<S>;
                store(bias.get() + at, bias_at<S, Cell>(call, j / Cell::vectors, u, false));
                store(bias.get() + panels * width + at, bias_at<S, Cell>(call, j / Cell::vectors, u, true));
            }
    }
};

template <class S, class Cell>
void forward_part(const Call<S>& call, bool from_zero, const Part& part, const ForwardWeights<S, Cell>& w) {
    constexpr int NV = ForwardWeights<S, Cell>::NV;
    constexpr Index units = ForwardWeights<S, Cell>::units, chunk = 192;
    const Index width = w.width, row_width = w.panels * width, H = call.H;
    const Index most = part.most_rows(chunk);
    auto xs = buffer<S>(most * call.I), projected = buffer<S>(most * row_width);
    const S *bias = w.bias.get(), *separate_bias = bias + row_width;
    for (Index t0 = 0, steps; t0 < call.T; t0 += steps) {
        steps = chunk_steps(part, t0, call.T - 1, +1, chunk);
        Index rows = 0;
        for (Index t = t0; t < t0 + steps; ++t) rows += part.rows(t);
        gather_x(xs.get(), call, part, t0, steps);
        product<S, NV>(
            call.deterministic, rows, call.I, w.panels, xs.get(), call.I, 1, w.W_ih,
            [&](auto& acc, Index, Index p) { load_tile<S>(acc, bias + p * width, 0); },
            [&](auto& acc, Index first, Index p) { store_tile<S>(acc, projected.get() + first * row_width + p * width, row_width); });
        const S* P = projected.get();
        for (Index t = t0; t < t0 + steps; ++t) {
            const Index n = part.rows(t), at = part.first_row(t);
            const S* h_prev = state_before(call.h0, call.y, call, part, t);
            // Where c is not kept, each step's takes the place of the one before.
            S* c_now = !Cell::has_c ? nullptr : call.c ? call.c + at * H : call.c_n + part.r0 * H;
            const S* c_prev = call.c || (Cell::has_c && t == 0) ? state_before(call.c0, static_cast<const S*>(call.c), call, part, t) : c_now;
            product<S, NV>(
                call.deterministic, n, t == 0 && from_zero && w.skips_zeros ? 0 : H, w.panels, h_prev, H, 1, w.W_hh,
                [&](auto& acc, Index first, Index p) {
                    for (auto& row : acc) {
                        const S* from = P + first * row_width + p * width;
                        for (int j = 0; j < NV; ++j)
                            row[j] = j == Cell::separate_gate ? load(separate_bias + p * width + j * L<S>) : load(from + j * L<S>);
                        ++first;
                    }
                },
                [&](auto& acc, Index first, Index p) {
                    for (auto& row : acc) {
                        const Index u = p * units, offset = first * H + u, to = at * H + offset;
                        ForwardUnits<S> here{H - u, h_prev + offset, c_prev ? c_prev + offset : nullptr, call.y + to,
                                     c_now ? c_now + offset : nullptr,
                                     call.kept ? call.kept + (at + first) * Cell::keeps * H + u : nullptr};
                        Cell::template finish<S>(call, row, P + first * row_width + p * width, here);
                        ++first;
                    }
                });
            P += n * row_width;
        }
    }
    for (Index t = call.T - 1, done = 0; done < part.rows(0); done = part.rows(t--)) {  // sequences that end with step t
        const Index from = (part.first_row(t) + done) * H, to = (part.r0 + done) * H, size = (part.rows(t) - done) * H;
        if (call.h_n) std::copy_n(call.y + from, size, call.h_n + to);
        if (call.c && call.c_n != call.c) std::copy_n(call.c + from, size, call.c_n + to);
    }
}

// from_zero: h0 is zero.
template <class S, class Cell>
void forward_walk(const Call<S>& call, bool from_zero) {
    auto starts = first_rows_of(call);
    auto parts = parts_of(call, starts, thread_count(call, starts[call.T], Cell::gates, call.B));
    ForwardWeights<S, Cell> w(call, from_zero, parts.size());
    for_each_part(parts.size(), call.threads, [&](Index p) { forward_part<S, Cell>(call, from_zero, parts[p], w); });
}

}  // namespace bptt::BPTT_ISA
