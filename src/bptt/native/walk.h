// What the cells' walks share: who owns which rows, chunks of steps, and the products with delta.
#pragma once

#include <omp.h>

#include <exception>
#include <numeric>
#include <vector>

#include "gemm.h"
#include "layer.h"

namespace bptt {
namespace BPTT_ISA {

// The rows a thread owns, r0 <= row < r1, and where each step's rows stand.
struct Part {
    Index r0, r1;
    const std::vector<Index>* starts;  // [T+1]
    const Index* active;               // [T] or null: how many of each step's rows are walked
    Index rows(Index t) const {
        Index n = active ? active[t] : (*starts)[t + 1] - (*starts)[t];
        return std::max<Index>(0, std::min(r1, n) - r0);
    }
    // Of the largest chunk of steps that `chunk_steps` makes.
    Index most_rows(Index chunk) const {
        return std::max(rows(0), std::min(chunk, rows(0) * static_cast<Index>(starts->size() - 1)));
    }
    Index at(Index t) const { return (*starts)[t] + r0; }  // of the part's first row, in (N, ·)
};

template <class S>
std::vector<Index> starts_of(const Layer<S>& a) {
    std::vector<Index> starts(a.T + 1, 0);
    for (Index t = 0; t < a.T; ++t) starts[t + 1] = starts[t] + (a.batch_sizes ? a.batch_sizes[t] : a.B);
    return starts;
}

// A layer whose initial state is there: zeros where none was given.
template <class S>
struct Started {
    Buffer<S> zeros;
    Layer<S> layer;
    explicit Started(const Layer<S>& a) : layer(a) {
        if (a.h0 != nullptr && (a.c0 != nullptr || a.c == nullptr)) return;
        zeros = buffer<S>(a.B * a.H);
        std::fill_n(zeros.get(), a.B * a.H, S(0));
        if (a.h0 == nullptr) layer.h0 = zeros.get();
        if (a.c0 == nullptr) layer.c0 = zeros.get();
    }
};

// Split the batch so that each of at most `threads` parts walks about as many rows; longest sequences come first.
template <class S>
std::vector<Part> parts_of(const Layer<S>& a, const std::vector<Index>& starts, int threads) {
    const Index* sizes = a.batch_sizes ? a.batch_sizes : a.active;
    const Index whole = std::max<Index>(1, a.shared);  // a copy's rows stay together
    std::vector<Index> length(a.B, sizes ? 0 : a.T);
    if (sizes)
        for (Index t = 0; t < a.T; ++t)
            for (Index r = 0; r < sizes[t]; ++r) ++length[r];
    const Index all = std::accumulate(length.begin(), length.end(), Index(0));
    std::vector<Part> parts;
    Index row = 0, walked = 0;
    for (int p = 0; p < threads && row < a.B; ++p) {
        Index first = row, goal = all * (p + 1) / threads;
        while (row < a.B &&
               (p == threads - 1 || row == first || row % whole != 0 || walked + length[row] <= goal))
            walked += length[row++];
        parts.push_back({first, row, &starts, a.active});
    }
    if (parts.empty()) parts.push_back({0, 0, &starts, a.active});  // of a batch of none
    return parts;
}

// One thread for little work: waking another costs more than it saves.
template <class S>
int team(const Layer<S>& a, Index N, int gates) {
    double work = 2.0 * N * gates * a.H * (a.H + a.I);
    return work < 2e6 ? 1 : static_cast<int>(std::max<Index>(1, std::min<Index>(a.threads, a.B)));
}

// Run f(part number) on each part, on threads of the process's own OpenMP runtime, fewer if it gives fewer. What one
// of them throws is thrown again here.
template <class F>
void on_each(Index parts, F&& f) {
    if (parts == 1) return f(0);
    std::vector<std::exception_ptr> thrown(parts);
#pragma omp parallel num_threads(static_cast<int>(parts))
    for (Index p = omp_get_thread_num(); p < parts; p += omp_get_num_threads()) {
        try {
            f(p);
        } catch (...) {
            thrown[p] = std::current_exception();
        }
    }
    for (const auto& exception : thrown)
        if (exception) std::rethrow_exception(exception);
}

// The steps from t on whose rows together make a chunk of about `rows`; at least one step. Towards the end of time
// (+1) or its start (-1); returns how many.
inline Index chunk_steps(const Part& part, Index t, Index last, int towards, Index rows) {
    Index steps = 0, sum = 0;
    for (; steps == 0 || (t != last + towards && sum + part.rows(t) <= rows); t += towards, ++steps) {
        sum += part.rows(t);
        if (t == last) return steps + 1;
    }
    return steps;
}

// How far the part's first row of step t stands from the first of all, for rows `row` apart and, where every step has
// B of them, steps `step` apart.
template <class S>
Index offset(const Layer<S>& a, const Part& part, Index t, Index step, Index row) {
    return (a.batch_sizes ? (*part.starts)[t] * row : t * step) + part.r0 * row;
}
template <class S>
const S* x_row(const Layer<S>& a, const Part& part, Index t) { return a.x + offset(a, part, t, a.x_step, a.x_row); }

// x of steps t0..t0+steps, row by row.
template <class S>
void gather_x(S* to, const Layer<S>& a, const Part& part, Index t0, Index steps) {
    for (Index t = t0; t < t0 + steps; ++t)
        for (Index r = 0; r < part.rows(t); ++r, to += a.I)
            std::memcpy(to, x_row(a, part, t) + r * a.x_row, a.I * sizeof(S));
}

// h (or c) before step t, the part's first row.
template <class S>
const S* before(const S* first, const S* later, const Layer<S>& a, const Part& part, Index t) {
    return t == 0 ? first + part.r0 * a.H : later + part.at(t - 1) * a.H;
}

// Columns of a panel that `accumulate` takes: two vectors, or one where all columns fit into it.
template <class S>
Index panel_width(Index columns) { return columns <= L<S> ? L<S> : 2 * L<S>; }

// A gradient's sum, (rows, ld) with rows padded to whole panels: its own room, or the gradient itself where it fits.
template <class S>
struct Sum {
    Index rows = 0, columns = 0, ld = 0;
    Buffer<S> room;
    S* at = nullptr;  // null: not wanted
    Sum() = default;
    Sum(S* gradient, Index rows, Index columns, Index ld, bool in_place) : rows(rows), columns(columns), ld(ld), at(gradient) {
        if (gradient == nullptr) return;
        if (!in_place || columns != ld) room = buffer<S>(rows * ld), at = room.get();
        std::fill_n(at, rows * ld, S(0));
    }
    void add_to(S* gradient, bool first) const {
        if (gradient == nullptr || gradient == at) return;
        for (Index r = 0; r < rows; ++r)
            for (Index k = 0; k < columns; ++k)
                gradient[r * columns + k] = (first ? S(0) : gradient[r * columns + k]) + at[r * ld + k];
    }
};

// Gradients of one thread; added up in the order of the threads, to those of the first one.
template <class S>
struct Sums {
    bool one_delta;  // the two biases' gradients are the same
    Sum<S> W_ih, W_hh, b_ih, b_hh;
    Sums(const Layer<S>& a, int gates, bool one_delta, bool first) : one_delta(one_delta) {
        const Index G = gates * a.H;
        W_ih = {a.dW_ih, G, a.I, up(a.I, panel_width<S>(a.I)), first};
        W_hh = {a.dW_hh, G, a.H, up(a.H, panel_width<S>(a.H)), first};
        b_ih = {a.db_ih || !one_delta ? a.db_ih : a.db_hh, G, 1, 1, first};
        if (!one_delta) b_hh = {a.db_hh, G, 1, 1, first};
    }
    void add_to(const Layer<S>& a, bool first) const {
        W_ih.add_to(a.dW_ih, first);
        W_hh.add_to(a.dW_hh, first);
        b_ih.add_to(a.db_ih, first);
        (one_delta ? b_ih : b_hh).add_to(a.db_hh, first);
    }
};

// sum (M, ld) += deltaᵀ · operand over the chunk's rows; delta's columns [0, M) with rows ldd apart, operand in panels.
// The chunk is summed by itself first: rounding then grows with its rows and with the chunks, not with their product.
template <class S, int NV>
void accumulate(S* sum, Index ld, Index M, Index rows, const S* delta, Index ldd, const S* panels) {
    constexpr int width = NV * L<S>;
    product<S, NV, tile_rows<2>>(
        M, rows, ld / width, delta, 1, ldd, panels,
        [&](auto& acc, Index, Index) {
            for (auto& row : acc)
                for (int j = 0; j < NV; ++j) row[j] = all<S>(0);
        },
        [&](auto& acc, Index first, Index p) {
            for (auto& row : acc) {
                for (int j = 0; j < NV; ++j) {
                    S* to = sum + first * ld + p * width + j * L<S>;
                    store(to, load(to) + row[j]);
                }
                ++first;
            }
        });
}
template <class S>
void accumulate(S* sum, Index ld, Index M, Index rows, const S* delta, Index ldd, const S* panels) {
    if (ld == L<S>) return accumulate<S, 1>(sum, ld, M, rows, delta, ldd, panels);
    accumulate<S, 2>(sum, ld, M, rows, delta, ldd, panels);
}

// sum (M) += the sum of delta's rows, rows ldd apart and readable to the end of a vector.
template <class S>
void add_columns(S* sum, Index M, Index rows, const S* delta, Index ldd) {
    constexpr int NV = 4;
    for (Index m = 0; m < M; m += NV * L<S>) {
        V<S> acc[NV];
        for (int j = 0; j < NV; ++j) acc[j] = all<S>(0);
        const int vectors = static_cast<int>(std::min<Index>(NV, (M - m + L<S> - 1) / L<S>));
        for (Index r = 0; r < rows; ++r)
            for (int j = 0; j < NV; ++j)
                if (j < vectors) acc[j] += load(delta + r * ldd + m + j * L<S>);
        for (int j = 0; j < vectors; ++j) {
            S* to = sum + m + j * L<S>;
            const Index left = M - m - j * L<S>;
            store(to, load(to, left) + acc[j], left);
        }
    }
}

// Panels of the chunk's rows of N columns, given by a pointer to each step's first row and a row stride.
template <class S, class RowsAt>
void pack_rows(S* to, const Part& part, Index t0, Index steps, Index N, Index ld, RowsAt&& rows_at) {
    const Index width = panel_width<S>(N);
    for (Index n0 = 0; n0 < N; n0 += width) {
        const Index n = std::min(width, N - n0);
        for (Index t = t0; t < t0 + steps; ++t) {
            const S* from = rows_at(t) + n0;
            for (Index r = 0; r < part.rows(t); ++r, from += ld, to += width)
                for (Index j = 0; j < width; j += L<S>) store(to + j, n > j ? load(from + j, n - j) : all<S>(0));
        }
    }
}

}  // namespace BPTT_ISA
}  // namespace bptt
