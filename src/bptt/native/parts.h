// The parts of a batch that the threads walk, chunks of steps, packing, and the sums of gradients.
#pragma once

#include <exception>
#include <numeric>
#include <vector>

#include "call.h"
#include "gemm.h"
#include "threads.h"

namespace bptt {
namespace BPTT_ISA {

// The batch rows r0 <= row < r1 that one thread walks.
struct Part {
    Index r0, r1;
    const std::vector<Index>* starts;  // [T+1]: each step's first row among all N
    const Index* active;               // [T] or null: how many of each step's rows are walked
    Index rows(Index t) const {
        Index n = active ? active[t] : (*starts)[t + 1] - (*starts)[t];
        return std::max<Index>(0, std::min(r1, n) - r0);
    }
    // Rows of the largest chunk that `chunk_steps` makes.
    Index most_rows(Index chunk) const {
        return std::max(rows(0), std::min(chunk, rows(0) * static_cast<Index>(starts->size() - 1)));
    }
    Index first_row(Index t) const { return (*starts)[t] + r0; }  // the part's first row of step t among all N
};

template <class S>
std::vector<Index> first_rows_of(const Call<S>& call) {
    std::vector<Index> starts(call.T + 1, 0);
    for (Index t = 0; t < call.T; ++t) starts[t + 1] = starts[t] + (call.batch_sizes ? call.batch_sizes[t] : call.B);
    return starts;
}

// A call with an initial state: zeros where none was given.
template <class S>
struct WithInitialState {
    Buffer<S> zeros;
    Call<S> call;
    explicit WithInitialState(const Call<S>& given) : call(given) {
        if (call.h0 != nullptr && (call.c0 != nullptr || (call.c == nullptr && call.c_n == nullptr))) return;
        zeros = buffer<S>(call.B * call.H);
        std::fill_n(zeros.get(), call.B * call.H, S(0));
        if (call.h0 == nullptr) call.h0 = zeros.get();
        if (call.c0 == nullptr) call.c0 = zeros.get();
    }
};

// Split the batch into at most `threads` parts with about equally many rows over all steps.
template <class S>
std::vector<Part> parts_of(const Call<S>& call, const std::vector<Index>& starts, int threads) {
    const Index* sizes = call.batch_sizes ? call.batch_sizes : call.active;
    const Index whole = std::max<Index>(1, call.shared);  // rows of one copy of a sweep stay together
    std::vector<Index> length(call.B, sizes ? 0 : call.T);
    if (sizes)
        for (Index t = 0; t < call.T; ++t)
            for (Index r = 0; r < sizes[t]; ++r) ++length[r];
    const Index total = std::accumulate(length.begin(), length.end(), Index(0));
    std::vector<Part> parts;
    Index row = 0, walked = 0;
    for (int p = 0; p < threads && row < call.B; ++p) {
        Index first = row, goal = total * (p + 1) / threads;
        while (row < call.B &&
               (p == threads - 1 || row == first || row % whole != 0 || walked + length[row] <= goal))
            walked += length[row++];
        parts.push_back({first, row, &starts, call.active});
    }
    if (parts.empty()) parts.push_back({0, 0, &starts, call.active});  // the batch is empty
    return parts;
}

// One thread for little work: waking another costs more than it saves.
constexpr double little_work = 2e6;  // floating-point operations
template <class S>
bool is_little_work(const Call<S>& call, Index N, int gates) {
    return 2.0 * N * gates * call.H * (call.H + call.I) < little_work;
}
template <class S>
int thread_count(const Call<S>& call, Index N, int gates, Index most) {
    return is_little_work(call, N, gates) ? 1 : static_cast<int>(std::max<Index>(1, std::min<Index>(call.threads, most)));
}

// The parts of a backward walk, each with sums of its own. Where it is deterministic, they do not depend on the threads.
template <class S>
int backward_parts(const Call<S>& call, Index N, int gates) {
    if (!call.deterministic) return thread_count(call, N, gates, call.B);
    return is_little_work(call, N, gates) ? 1 : static_cast<int>(fixed_parts(call.B));
}

// Run f(part number) for each part on at most so many threads. An exception of one of them is thrown again here.
template <class F>
void for_each_part(Index parts, Index threads, F&& f) {
    if (parts == 1) return f(0);
    std::vector<std::exception_ptr> thrown(parts);
    auto caught = [&](int p) {
        try {
            f(p);
        } catch (...) {
            thrown[p] = std::current_exception();
        }
    };
    side_by_side(static_cast<int>(parts), static_cast<int>(threads), caught);
    for (const auto& exception : thrown)
        if (exception) std::rethrow_exception(exception);
}

// How many steps, from t on towards `last`, later (+1) or earlier (-1), make a chunk of at most `rows` rows; at least one.
inline Index chunk_steps(const Part& part, Index t, Index last, int towards, Index rows) {
    Index steps = 0, sum = 0;
    for (; steps == 0 || (t != last + towards && sum + part.rows(t) <= rows); t += towards, ++steps) {
        sum += part.rows(t);
        if (t == last) return steps + 1;
    }
    return steps;
}

// The offset of the part's first row of step t, for rows `row` apart and, where every step has B of them, steps `step`
// apart.
template <class S>
Index offset(const Call<S>& call, const Part& part, Index t, Index step, Index row) {
    return (call.batch_sizes ? (*part.starts)[t] * row : t * step) + part.r0 * row;
}
template <class S>
const S* x_row(const Call<S>& call, const Part& part, Index t) { return call.x + offset(call, part, t, call.x_step, call.x_row); }

// Copy x of the steps t0 <= t < t0+steps, row by row.
template <class S>
void gather_x(S* to, const Call<S>& call, const Part& part, Index t0, Index steps) {
    for (Index t = t0; t < t0 + steps; ++t)
        for (Index r = 0; r < part.rows(t); ++r, to += call.I)
            std::memcpy(to, x_row(call, part, t) + r * call.x_row, call.I * sizeof(S));
}

// h (or c) before step t, the part's first row.
template <class S>
const S* state_before(const S* first, const S* later, const Call<S>& call, const Part& part, Index t) {
    return t == 0 ? first + part.r0 * call.H : later + part.first_row(t - 1) * call.H;
}

// Columns of a panel for `accumulate`: two vectors, or one where all columns fit into it.
template <class S>
Index panel_width(Index columns) { return columns <= L<S> ? L<S> : 2 * L<S>; }

// A gradient's sum over time, (rows, ld) with rows padded to whole panels: in its own memory, or in the gradient's.
template <class S>
struct Sum {
    Index rows = 0, columns = 0, ld = 0;
    Buffer<S> own;
    S* data = nullptr;  // null: not wanted
    Sum() = default;
    Sum(S* gradient, Index rows, Index columns, Index ld, bool in_place) : rows(rows), columns(columns), ld(ld), data(gradient) {
        if (gradient == nullptr) return;
        if (!in_place || columns != ld) own = buffer<S>(rows * ld), data = own.get();
        std::fill_n(data, rows * ld, S(0));
    }
    // Add a share of the rows to the gradient's.
    void add_to(S* gradient, bool first, Index share, Index shares) const {
        if (gradient == nullptr || gradient == data) return;
        for (Index r = rows * share / shares; r < rows * (share + 1) / shares; ++r)
            for (Index k = 0; k < columns; ++k)
                gradient[r * columns + k] = (first ? S(0) : gradient[r * columns + k]) + data[r * ld + k];
    }
};

// The gradients of one thread. They are added in the order of the threads, to those of the first one.
template <class S>
struct Sums {
    bool one_delta;  // the two biases' gradients are the same
    Sum<S> W_ih, W_hh, b_ih, b_hh;
    Sums(const Call<S>& call, int gates, bool one_delta, bool first) : one_delta(one_delta) {
        const Index G = gates * call.H;
        W_ih = {call.dW_ih, G, call.I, round_up(call.I, panel_width<S>(call.I)), first};
        W_hh = {call.dW_hh, G, call.H, round_up(call.H, panel_width<S>(call.H)), first};
        b_ih = {call.db_ih || !one_delta ? call.db_ih : call.db_hh, G, 1, 1, first};
        if (!one_delta) b_hh = {call.db_hh, G, 1, 1, first};
    }
    void add_to(const Call<S>& call, bool first, Index share, Index shares) const {
        W_ih.add_to(call.dW_ih, first, share, shares);
        W_hh.add_to(call.dW_hh, first, share, shares);
        b_ih.add_to(call.db_ih, first, share, shares);
        (one_delta ? b_ih : b_hh).add_to(call.db_hh, first, share, shares);
    }
};

// sum (M, ld) += deltaᵀ · operand over the chunk's rows, for delta (rows, M) with rows ldd apart and the operand in panels.
// The chunk is summed by itself first: rounding then grows with its rows and with the chunks, not with their product.
template <class S, int NV>
void accumulate(S* sum, Index ld, Index M, Index rows, const S* delta, Index ldd, const S* panels) {
    constexpr int width = NV * L<S>;
    product<S, NV, tile_rows<2>>(
        false, M, rows, ld / width, delta, 1, ldd, panels,
        [&](auto& acc, Index, Index) { set_zero<S>(acc); },
        [&](auto& acc, Index first, Index p) {
            S* to = sum + first * ld + p * width;
            std::remove_reference_t<decltype(acc)> before;
            load_tile<S>(before, to, ld);
            add_tile<S>(acc, before);
            store_tile<S>(acc, to, ld);
        });
}
template <class S>
void accumulate(S* sum, Index ld, Index M, Index rows, const S* delta, Index ldd, const S* panels) {
    if (ld == L<S>) return accumulate<S, 1>(sum, ld, M, rows, delta, ldd, panels);
    accumulate<S, 2>(sum, ld, M, rows, delta, ldd, panels);
}

// sum (M) += the sum of delta's rows, ldd apart and readable to the end of a vector.
template <class S>
void add_columns(S* sum, Index M, Index rows, const S* delta, Index ldd) {
    constexpr int NV = 4;
    for (Index m = 0; m < M; m += NV * L<S>) {
        V<S> acc[NV];
        for (int j = 0; j < NV; ++j) acc[j] = broadcast<S>(0);
        const int vectors = static_cast<int>(std::min<Index>(NV, (M - m + L<S> - 1) / L<S>));
        for (Index r = 0; r < rows; ++r)
            for (int j = 0; j < NV; ++j)
                if (j < vectors) acc[j] += load(delta + r * ldd + m + j * L<S>);
        for (int j = 0; j < vectors; ++j) {
            S* to = sum + m + j * L<S>;
            const Index lanes_left = M - m - j * L<S>;
            store(to, load(to, lanes_left) + acc[j], lanes_left);
        }
    }
}

// Pack the chunk's rows of N columns, ld apart, into panels; rows_at(t) points to step t's first row.
template <class S, class RowsAt>
void pack_rows(S* to, const Part& part, Index t0, Index steps, Index N, Index ld, RowsAt&& rows_at) {
    const Index width = panel_width<S>(N);
    for (Index n0 = 0; n0 < N; n0 += width) {
        const Index n = std::min(width, N - n0);
        for (Index t = t0; t < t0 + steps; ++t) {
            const S* from = rows_at(t) + n0;
            for (Index r = 0; r < part.rows(t); ++r, from += ld, to += width)
                for (Index j = 0; j < width; j += L<S>) store(to + j, n > j ? load(from + j, n - j) : broadcast<S>(0));
        }
    }
}

}  // namespace BPTT_ISA
}  // namespace bptt
