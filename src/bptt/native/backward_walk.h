// Any cell's backward walk through time.
#pragma once

#include "cell.h"
#include "gram.h"
#include "parts.h"

namespace bptt::BPTT_ISA {

template <class S, class Cell>
struct BackwardWeights {
    static constexpr Index width = 2 * L<S>;
    Index panels_h, panels_i;
    Buffer<S> W;  // one piece of memory, as in the forward walk
    S *W_hh, *W_ih;
    BackwardWeights(const Call<S>& call, Index parts)
        : panels_h((call.H + width - 1) / width), panels_i(call.dx ? (call.I + width - 1) / width : 0) {
        const Index H = call.H, I = call.I, K = Cell::gates * H;
        W = buffer<S>((panels_h + panels_i) * width * K);
        W_hh = W.get(), W_ih = W_hh + panels_h * width * K;
        for_each_part(parts, call.threads, [&](Index part) {
            for (Index p = panels_h * part / parts; p < panels_h * (part + 1) / parts; ++p)
                pack_panel(W_hh + p * K * width, call.W_hh, H, K, H, p * width, width);
            for (Index p = panels_i * part / parts; p < panels_i * (part + 1) / parts; ++p)
                for (Index g = 0; g < Cell::gates; ++g)
                    pack_panel(W_ih + (p * K + g * H) * width, call.W_ih + Cell::input_order[g] * H * I, I, H, I, p * width,
                               width);
        });
    }
};

// A part's adjoints of the state, and delta of a chunk of its steps.
template <class S, class Cell>
struct BackwardState {
    static constexpr Index width = 2 * L<S>;
    const Call<S>& call;
    const Part& part;
    const Index H, K, ldh, ldd, R;
    Buffer<S> dh, dc, delta;

    BackwardState(const Call<S>& call, const Part& part)
        : call(call), part(part), H(call.H), K(Cell::gates * call.H), ldh(round_up(call.H, width)),
          ldd(round_up(Cell::blocks * call.H, L<S>) + 16), R(part.r1 - part.r0) {
        dh = padded(call.dh_final);
        if (call.c) dc = padded(call.dc_final);
        delta = buffer<S>(part.most_rows(chunk_rows) * ldd);
    }

    // (R, H) rows of a state's adjoint, padded to ldh; zeros where there is none.
    Buffer<S> padded(const S* from) const {
        auto to = buffer<S>(R * ldh);
        std::fill_n(to.get(), R * ldh, S(0));
        if (from)
            for (Index r = 0; r < R; ++r) std::copy_n(from + (part.r0 + r) * H, H, to.get() + r * ldh);
        return to;
    }

    void copy_state(S* to, const S* from) const {
        if (to)
            for (Index r = 0; r < R; ++r) std::copy_n(from + r * ldh, H, to + (part.r0 + r) * H);
    }

    // Delta of step t; dh and dc become what flows to the state before the step other than through W_hh.
    void find_delta(Index t, S* delta_t) {
        const Index n = part.rows(t), at = part.first_row(t);
        V<S> squares = broadcast<S>(0);
        for (Index r = 0; r < n; ++r) {
            const S* dy = call.dy ? call.dy + offset(call, part, t, call.dy_step, call.dy_row) + r * call.dy_row : nullptr;
            const Index now = recorded(t, r), prev = t == 0 ? 0 : recorded(t - 1, r), first = recorded(0, r);
            const S* h_prev = t == 0 ? call.h0 + first * H : call.y + prev * H;
            const S* c_prev = call.c == nullptr ? nullptr : t == 0 ? call.c0 + first * H : call.c + prev * H;
            for (Index u = 0; u < H; u += L<S>) {
                const Index o = now * H + u;
                BackwardUnits<S> here{H - u,
                                      h_prev + u,
                                      c_prev ? c_prev + u : nullptr,
                                      call.y + o,
                                      call.c ? call.c + o : nullptr,
                                      call.kept ? call.kept + now * Cell::keeps * H + u : nullptr,
                                      dh.get() + r * ldh + u,
                                      call.c ? dc.get() + r * ldh + u : nullptr,
                                      delta_t + r * ldd + u,
                                      dy ? load(dy + u * call.dy_unit, H - u, call.dy_unit) : broadcast<S>(0)};
                const V<S> d = load(here.dh) + here.dy;
                squares += d * d;
                if (call.dh) store(call.dh + (at + r) * H + u, d, here.lanes_left);
                Cell::template adjoint<S>(call, H, here);
            }
            if (call.squares && (r + 1) % call.shared == 0) {  // the copy's last row
                call.squares[(at + r) / call.shared] = sum(squares);
                squares = broadcast<S>(0);
            }
        }
    }

    // The place of row r of step t in the recorded walk.
    Index recorded(Index t, Index r) const {
        return call.shared ? t * call.shared + (part.r0 + r) % call.shared : part.first_row(t) + r;
    }

    static S sum(V<S> v) {
        S total = 0;
        for (int i = 0; i < L<S>; ++i) total += v[i];
        return total;
    }
};

template <class S, class Cell>
struct BackwardPart : BackwardState<S, Cell> {
    using State = BackwardState<S, Cell>;
    using State::call, State::part, State::H, State::K, State::ldh, State::ldd, State::dh, State::dc, State::delta, State::width;
    static constexpr int NV = 2;
    const BackwardWeights<S, Cell>& w;
    Sums<S>& sums;
    Buffer<S> panels;

    BackwardPart(const Call<S>& call, const Part& part, const BackwardWeights<S, Cell>& w, Sums<S>& sums)
        : State(call, part), w(w), sums(sums) {
        panels = buffer<S>(part.most_rows(chunk_rows) * std::max(round_up(call.I, width), ldh));
    }

    void walk() {
        for (Index last = call.T - 1, steps; last >= 0; last -= steps) {
            steps = chunk_steps(part, last, Index(0), -1, chunk_rows);
            const Index t0 = last - steps + 1;
            Index rows = 0;
            for (Index t = t0; t <= last; ++t) rows += part.rows(t);
            Index base = rows;
            for (Index t = last; t >= t0; --t) {
                base -= part.rows(t);
                step(t, delta.get() + base * ldd);
            }
            accumulate_gradients(t0, steps, rows);
        }
        this->copy_state(call.dh0, dh.get());
        if (call.c) this->copy_state(call.dc0, dc.get());
    }

    // Step t: delta of its rows, then the adjoint of the state before the step.
    void step(Index t, S* delta_t) {
        const Index n = part.rows(t), at = part.first_row(t);
        this->find_delta(t, delta_t);
        if (call.delta_hh) copy_delta(at, n, delta_t);
        if (call.products_hh) write_gram(at, n, delta_t);
        if (t == 0 && !call.dh0) return;
        product<S, NV>(
            call.deterministic, n, K, w.panels_h, delta_t + Cell::recurrent_block * H, ldd, 1, w.W_hh,
            [&](auto& acc, Index first, Index p) { load_tile<S>(acc, dh.get() + first * ldh + p * width, ldh); },
            [&](auto& acc, Index first, Index p) { store_tile<S>(acc, dh.get() + first * ldh + p * width, ldh); });
    }

    // Write the products of delta's rows with each other, copy by copy.
    void write_gram(Index at, Index n, const S* delta_t) const {
        const Index of_copy = call.shared * call.shared, both = Cell::recurrent_block * H;  // before it: delta of W_ih alone
        for (Index r = 0; r < n; r += call.shared, delta_t += call.shared * ldd) {
            S* hh = call.products_hh + (at + r) * call.shared;
            std::fill_n(hh, of_copy, S(0));
            add_gram(hh, delta_t + both, ldd, call.shared, K - both);
            if (call.products_ih) {
                S* ih = call.products_ih + (at + r) * call.shared;
                std::copy_n(hh, of_copy, ih);
                add_gram(ih, delta_t, ldd, call.shared, both);
            }
            if (both) add_gram(hh, delta_t + K, ldd, call.shared, both);
        }
    }

    // Write delta: n rows from row `at` on, in the order of the weights' blocks.
    void copy_delta(Index at, Index n, const S* delta_t) const {
        for (Index r = 0; r < n; ++r, delta_t += ldd) {
            std::copy_n(delta_t + Cell::recurrent_block * H, K, call.delta_hh + (at + r) * K);
            if (call.delta_ih == nullptr) continue;
            for (int g = 0; g < Cell::gates; ++g)
                std::copy_n(delta_t + g * H, H, call.delta_ih + (at + r) * K + Cell::input_order[g] * H);
        }
    }

    // Add the chunk's part of each gradient, while its delta is in cache.
    void accumulate_gradients(Index t0, Index steps, Index rows) {
        const S* recurrent = delta.get() + Cell::recurrent_block * H;
        if (call.dW_hh) {
            pack_rows(panels.get(), part, t0, steps, H, H,
                      [&](Index t) { return state_before(call.h0, static_cast<const S*>(call.y), call, part, t); });
            accumulate<S>(sums.W_hh.data, sums.W_hh.ld, K, rows, recurrent, ldd, panels.get());
        }
        if (call.db_hh && !sums.one_delta) add_columns(sums.b_hh.data, K, rows, recurrent, ldd);
        if (call.db_ih || (call.db_hh && sums.one_delta))
            for (int g = 0; g < Cell::gates; ++g)  // the input's blocks have an order of their own
                add_columns(sums.b_ih.data + Cell::input_order[g] * H, H, rows, delta.get() + g * H, ldd);
        if (call.dW_ih) {
            pack_rows(panels.get(), part, t0, steps, call.I, call.x_row, [&](Index t) { return x_row(call, part, t); });
            for (int g = 0; g < Cell::gates; ++g)
                accumulate<S>(sums.W_ih.data + Cell::input_order[g] * H * sums.W_ih.ld, sums.W_ih.ld, H, rows,
                              delta.get() + g * H, ldd, panels.get());
        }
        if (call.dx) input_gradient(t0, steps);
    }

    void input_gradient(Index t0, Index steps) {
        const S* from = delta.get();
        for (Index t = t0; t < t0 + steps; ++t) {
            S* to = call.dx + part.first_row(t) * call.I;
            product<S, NV>(
                call.deterministic, part.rows(t), K, w.panels_i, from, ldd, 1, w.W_ih,
                [&](auto& acc, Index, Index) { set_zero<S>(acc); },
                [&](auto& acc, Index first, Index p) {
                    for (auto& row : acc) {
                        for (int j = 0; j < NV; ++j) {
                            const Index n = p * width + j * L<S>;
                            if (n < call.I) store(to + first * call.I + n, row[j], call.I - n);
                        }
                        ++first;
                    }
                });
            from += part.rows(t) * ldd;
        }
    }
};

template <class S, class Cell>
void backward_walk(const Call<S>& call) {
    auto starts = first_rows_of(call);
    auto parts = parts_of(call, starts, backward_parts(call, starts[call.T], 2 * Cell::gates));
    const Index count = parts.size();
    BackwardWeights<S, Cell> w(call, count);
    std::vector<std::unique_ptr<Sums<S>>> sums(count);
    for_each_part(count, call.threads, [&](Index p) {
        sums[p] = std::make_unique<Sums<S>>(call, Cell::gates, Cell::blocks == Cell::gates, p == 0);
        BackwardPart<S, Cell>(call, parts[p], w, *sums[p]).walk();
    });
    for_each_part(count, call.threads, [&](Index share) {
        for (Index p = 0; p < count; ++p) sums[p]->add_to(call, p == 0, share, count);
    });
}

}  // namespace bptt::BPTT_ISA
