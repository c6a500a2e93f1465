// Any cell's walk forward and its adjoint back, by one thread over its rows; the cell supplies the elementwise part.
#pragma once

#include "products.h"
#include "walk.h"

namespace bptt::BPTT_ISA {

// One row at some units: what the elementwise part of a cell reads and writes there.
template <class S>
struct Here {
    Index left;  // units from here to H
    const S *h_prev, *c_prev;
    S *y, *c, *kept;  // kept: its gates H apart; null where nothing is kept
};

// Weights packed once a call, shared by the threads.
template <class S, class Cell>
struct Forward {
    static constexpr int NV = Cell::gates * Cell::vectors;
    Index panels, width;
    Buffer<S> W_ih, W_hh, bias;
    explicit Forward(const Layer<S>& a) : width(NV * L<S>) {
        constexpr Index units = Cell::vectors * L<S>;
        panels = (a.H + units - 1) / units;
        W_ih = buffer<S>(panels * width * a.I);
        W_hh = buffer<S>(panels * width * a.H);
        bias = buffer<S>(2 * panels * width);  // of the input's part, then of the recurrent part where it stays apart
        int order[] = {0, 1, 2, 3};
        pack_gates<S>(W_ih.get(), a.W_ih, order, Cell::gates, Cell::vectors, a.H, a.I);
        pack_gates<S>(W_hh.get(), a.W_hh, order, Cell::gates, Cell::vectors, a.H, a.H);
        auto sum = buffer<S>(Cell::gates * a.H), apart = buffer<S>(Cell::gates * a.H);
        for (Index g = 0; g < Cell::gates; ++g)
            for (Index u = 0; u < a.H; ++u) {
                S ih = a.b_ih ? a.b_ih[g * a.H + u] : S(0), hh = a.b_hh ? a.b_hh[g * a.H + u] : S(0);
                sum[g * a.H + u] = ih + (g == Cell::apart ? S(0) : hh);
                apart[g * a.H + u] = g == Cell::apart ? hh : S(0);
            }
        pack_gates<S>(bias.get(), sum.get(), order, Cell::gates, Cell::vectors, a.H, 1);
        pack_gates<S>(bias.get() + panels * width, apart.get(), order, Cell::gates, Cell::vectors, a.H, 1);
    }
};

template <class S, class Cell>
void forward_part(const Layer<S>& a, const Part& part, const Forward<S, Cell>& w) {
    constexpr int NV = Forward<S, Cell>::NV;
    constexpr Index units = Cell::vectors * L<S>, chunk = 192;
    const Index width = w.width, row_width = w.panels * width, H = a.H;
    const Index most = part.most_rows(chunk);
    auto xs = buffer<S>(most * a.I), projected = buffer<S>(most * row_width);
    const S *bias = w.bias.get(), *apart = bias + row_width;
    for (Index t0 = 0, steps; t0 < a.T; t0 += steps) {
        steps = chunk_steps(part, t0, a.T - 1, +1, chunk);
        Index rows = 0;
        for (Index t = t0; t < t0 + steps; ++t) rows += part.rows(t);
        gather_x(xs.get(), a, part, t0, steps);
        product<S, NV>(
            rows, a.I, w.panels, xs.get(), a.I, 1, w.W_ih.get(),
            [&](auto& acc, Index, Index p) {
                for (auto& row : acc)
                    for (int j = 0; j < NV; ++j) row[j] = load(bias + p * width + j * L<S>);
            },
            [&](auto& acc, Index first, Index p) {
                for (auto& row : acc) {
                    for (int j = 0; j < NV; ++j)
                        store(projected.get() + first * row_width + p * width + j * L<S>, row[j]);
                    ++first;
                }
            });
        const S* P = projected.get();
        for (Index t = t0; t < t0 + steps; ++t) {
            const Index n = part.rows(t), at = part.at(t);
            const S* h_prev = before(a.h0, a.y, a, part, t);
            const S* c_prev = a.c ? before(a.c0, static_cast<const S*>(a.c), a, part, t) : nullptr;
            product<S, NV>(
                n, H, w.panels, h_prev, H, 1, w.W_hh.get(),
                [&](auto& acc, Index first, Index p) {
                    for (auto& row : acc) {
                        const S* from = P + first * row_width + p * width;
                        for (int j = 0; j < NV; ++j)
                            row[j] = j == Cell::apart ? load(apart + p * width + j * L<S>) : load(from + j * L<S>);
                        ++first;
                    }
                },
                [&](auto& acc, Index first, Index p) {
                    for (auto& row : acc) {
                        const Index u = p * units, offset = first * H + u, to = at * H + offset;
                        Here<S> here{H - u, h_prev + offset, c_prev ? c_prev + offset : nullptr, a.y + to,
                                     a.c ? a.c + to : nullptr,
                                     a.kept ? a.kept + (at + first) * Cell::keeps * H + u : nullptr};
                        Cell::template finish<S>(a, row, P + first * row_width + p * width, here);
                        ++first;
                    }
                });
            P += n * row_width;
        }
    }
    for (Index t = a.T - 1, done = 0; done < part.rows(0); done = part.rows(t--)) {  // sequences that end with step t
        const Index from = (part.at(t) + done) * H, to = (part.r0 + done) * H, size = (part.rows(t) - done) * H;
        std::copy_n(a.y + from, size, a.h_n + to);
        if (a.c) std::copy_n(a.c + from, size, a.c_n + to);
    }
}

template <class S, class Cell>
void forward(const Layer<S>& given) {
    const Started<S> started(given);
    const Layer<S>& a = started.layer;
    auto starts = starts_of(a);
    auto parts = parts_of(a, starts, team(a, starts[a.T], Cell::gates));
    Forward<S, Cell> w(a);
    on_each(parts.size(), [&](Index p) { forward_part<S, Cell>(a, parts[p], w); });
}

// One row's way back at some units. `delta` has the cell's blocks H apart; dh and dc come in as the adjoints of the
// state after the step and leave as what goes past the recurrent weights to the state before it.
template <class S>
struct HereBack {
    Index left;
    const S *h_prev, *c_prev, *y, *c, *kept;
    S *dh, *dc, *delta;
    V<S> dy;
};

template <class S, class Cell>
struct Backward {
    static constexpr Index width = 2 * L<S>;
    Index panels_h, panels_i;
    Buffer<S> W_hh, W_ih;
    explicit Backward(const Layer<S>& a) : panels_h((a.H + width - 1) / width), panels_i((a.I + width - 1) / width) {
        const Index K = Cell::gates * a.H;
        W_hh = buffer<S>(panels_h * width * K);
        pack(W_hh.get(), a.W_hh, a.H, Index(1), K, a.H, width);
        if (a.dx == nullptr) return;
        auto ordered = buffer<S>(K * a.I);
        for (Index g = 0; g < Cell::gates; ++g)
            std::copy_n(a.W_ih + Cell::input_order[g] * a.H * a.I, a.H * a.I, ordered.get() + g * a.H * a.I);
        W_ih = buffer<S>(panels_i * width * K);
        pack(W_ih.get(), ordered.get(), a.I, Index(1), K, a.I, width);
    }
};

template <class S, class Cell>
struct BackwardPart {
    static constexpr int NV = 2;
    static constexpr Index width = NV * L<S>;
    const Layer<S>& a;
    const Part& part;
    const Backward<S, Cell>& w;
    Sums<S>& sums;
    const Index H, K, ldh, ldd, R;
    Buffer<S> dh, dc, delta, panels;

    BackwardPart(const Layer<S>& a, const Part& part, const Backward<S, Cell>& w, Sums<S>& sums)
        : a(a), part(part), w(w), sums(sums), H(a.H), K(Cell::gates * a.H), ldh(up(a.H, width)),
          ldd(up(Cell::blocks * a.H, L<S>) + 16), R(part.r1 - part.r0) {
        const Index most = part.most_rows(chunk_rows);
        dh = padded(a.dh_final);
        if (a.c) dc = padded(a.dc_final);
        delta = buffer<S>(most * ldd);
        panels = buffer<S>(most * std::max(up(a.I, width), ldh));
    }

    // (R, H) rows of a state's adjoint, padded to ldh; zeros where there is none.
    Buffer<S> padded(const S* from) const {
        auto to = buffer<S>(R * ldh);
        std::fill_n(to.get(), R * ldh, S(0));
        if (from)
            for (Index r = 0; r < R; ++r) std::copy_n(from + (part.r0 + r) * H, H, to.get() + r * ldh);
        return to;
    }

    void walk() {
        for (Index last = a.T - 1, steps; last >= 0; last -= steps) {
            steps = chunk_steps(part, last, Index(0), -1, chunk_rows);
            const Index t0 = last - steps + 1;
            Index rows = 0;
            for (Index t = t0; t <= last; ++t) rows += part.rows(t);
            Index base = rows;
            for (Index t = last; t >= t0; --t) {
                base -= part.rows(t);
                step(t, delta.get() + base * ldd);
            }
            add_up(t0, steps, rows);
        }
        give(a.dh0, dh.get());
        if (a.c) give(a.dc0, dc.get());
    }

    void give(S* to, const S* from) const {
        if (to)
            for (Index r = 0; r < R; ++r) std::copy_n(from + r * ldh, H, to + (part.r0 + r) * H);
    }

    // Step t: delta of its rows, then the adjoint of the state before it.
    void step(Index t, S* delta_t) {
        const Index n = part.rows(t), at = part.at(t);
        V<S> squares = all<S>(0);
        for (Index r = 0; r < n; ++r) {
            const S* dy = a.dy ? a.dy + offset(a, part, t, a.dy_step, a.dy_row) + r * a.dy_row : nullptr;
            const Index now = recorded(t, r), prev = t == 0 ? 0 : recorded(t - 1, r), first = recorded(0, r);
            const S* h_prev = t == 0 ? a.h0 + first * H : a.y + prev * H;
            const S* c_prev = a.c == nullptr ? nullptr : t == 0 ? a.c0 + first * H : a.c + prev * H;
            for (Index u = 0; u < H; u += L<S>) {
                const Index o = now * H + u;
                HereBack<S> here{H - u, h_prev + u, c_prev ? c_prev + u : nullptr, a.y + o, a.c ? a.c + o : nullptr,
                                 a.kept ? a.kept + now * Cell::keeps * H + u : nullptr, dh.get() + r * ldh + u,
                                 a.c ? dc.get() + r * ldh + u : nullptr, delta_t + r * ldd + u,
                                 dy ? load(dy + u * a.dy_unit, H - u, a.dy_unit) : all<S>(0)};
                const V<S> d = load(here.dh) + here.dy;
                squares += d * d;
                if (a.dh) store(a.dh + (at + r) * H + u, d, here.left);
                Cell::template adjoint<S>(a, H, here);
            }
            if (a.squares && (r + 1) % a.shared == 0) {  // the copy's last row
                a.squares[(at + r) / a.shared] = sum(squares);
                squares = all<S>(0);
            }
        }
        if (a.delta_hh) stop_at(at, n, delta_t);
        if (a.products_hh) multiply(at, n, delta_t);
        product<S, NV>(
            n, K, w.panels_h, delta_t + Cell::recurrent_block * H, ldd, 1, w.W_hh.get(),
            [&](auto& acc, Index first, Index p) {
                for (auto& row : acc) {
                    for (int j = 0; j < NV; ++j) row[j] = load(dh.get() + first * ldh + p * width + j * L<S>);
                    ++first;
                }
            },
            [&](auto& acc, Index first, Index p) {
                for (auto& row : acc) {
                    for (int j = 0; j < NV; ++j) store(dh.get() + first * ldh + p * width + j * L<S>, row[j]);
                    ++first;
                }
            });
    }

    // Where row r of step t stands in what was recorded.
    Index recorded(Index t, Index r) const {
        return a.shared ? t * a.shared + (part.r0 + r) % a.shared : part.at(t) + r;
    }

    static S sum(V<S> v) {
        S total = 0;
        for (int i = 0; i < L<S>; ++i) total += v[i];
        return total;
    }

    // Hand out the products of delta's rows with each other, copy by copy.
    void multiply(Index at, Index n, const S* delta_t) const {
        const Index of_copy = a.shared * a.shared, both = Cell::recurrent_block * H;  // up to there W_ih's alone
        for (Index r = 0; r < n; r += a.shared, delta_t += a.shared * ldd) {
            S* hh = a.products_hh + (at + r) * a.shared;
            std::fill_n(hh, of_copy, S(0));
            add_products(hh, delta_t + both, ldd, a.shared, K - both);
            if (a.products_ih) {
                S* ih = a.products_ih + (at + r) * a.shared;
                std::copy_n(hh, of_copy, ih);
                add_products(ih, delta_t, ldd, a.shared, both);
            }
            if (both) add_products(hh, delta_t + K, ldd, a.shared, both);
        }
    }

    // Hand out delta itself: n rows from row `at` on, in the order of the weights' blocks.
    void stop_at(Index at, Index n, const S* delta_t) const {
        for (Index r = 0; r < n; ++r, delta_t += ldd) {
            std::copy_n(delta_t + Cell::recurrent_block * H, K, a.delta_hh + (at + r) * K);
            if (a.delta_ih == nullptr) continue;
            for (int g = 0; g < Cell::gates; ++g)
                std::copy_n(delta_t + g * H, H, a.delta_ih + (at + r) * K + Cell::input_order[g] * H);
        }
    }

    // The products with the chunk's delta, while it is in cache.
    void add_up(Index t0, Index steps, Index rows) {
        const S* recurrent = delta.get() + Cell::recurrent_block * H;
        if (a.dW_hh) {
            pack_rows(panels.get(), part, t0, steps, H, H,
                      [&](Index t) { return before(a.h0, static_cast<const S*>(a.y), a, part, t); });
            accumulate<S>(sums.W_hh.at, sums.W_hh.ld, K, rows, recurrent, ldd, panels.get());
        }
        if (a.db_hh && !sums.one_delta) add_columns(sums.b_hh.at, K, rows, recurrent, ldd);
        if (a.db_ih || (a.db_hh && sums.one_delta))
            for (int g = 0; g < Cell::gates; ++g)  // blocks of the input's part stand in an order of their own
                add_columns(sums.b_ih.at + Cell::input_order[g] * H, H, rows, delta.get() + g * H, ldd);
        if (a.dW_ih) {
            pack_rows(panels.get(), part, t0, steps, a.I, a.x_row, [&](Index t) { return x_row(a, part, t); });
            for (int g = 0; g < Cell::gates; ++g)
                accumulate<S>(sums.W_ih.at + Cell::input_order[g] * H * sums.W_ih.ld, sums.W_ih.ld, H, rows,
                              delta.get() + g * H, ldd, panels.get());
        }
        if (a.dx) input_gradient(t0, steps);
    }

    void input_gradient(Index t0, Index steps) {
        const S* from = delta.get();
        for (Index t = t0; t < t0 + steps; ++t) {
            S* to = a.dx + part.at(t) * a.I;
            product<S, NV>(
                part.rows(t), K, w.panels_i, from, ldd, 1, w.W_ih.get(),
                [&](auto& acc, Index, Index) {
                    for (auto& row : acc)
                        for (int j = 0; j < NV; ++j) row[j] = all<S>(0);
                },
                [&](auto& acc, Index first, Index p) {
                    for (auto& row : acc) {
                        for (int j = 0; j < NV; ++j) {
                            const Index n = p * width + j * L<S>;
                            if (n < a.I) store(to + first * a.I + n, row[j], a.I - n);
                        }
                        ++first;
                    }
                });
            from += part.rows(t) * ldd;
        }
    }
};

template <class S, class Cell>
void backward(const Layer<S>& given) {
    const Started<S> started(given);
    const Layer<S>& a = started.layer;
    auto starts = starts_of(a);
    auto parts = parts_of(a, starts, team(a, starts[a.T], 2 * Cell::gates));
    Backward<S, Cell> w(a);
    std::vector<std::unique_ptr<Sums<S>>> sums(parts.size());
    on_each(parts.size(), [&](Index p) {
        sums[p] = std::make_unique<Sums<S>>(a, Cell::gates, Cell::blocks == Cell::gates, p == 0);
        BackwardPart<S, Cell>(a, parts[p], w, *sums[p]).walk();
    });
    for (std::size_t p = 0; p < sums.size(); ++p) sums[p]->add_to(a, p == 0);
}

}  // namespace bptt::BPTT_ISA
