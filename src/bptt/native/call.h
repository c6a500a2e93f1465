// The arguments of a kernel's call: one layer in one direction, forward or backward.
#pragma once

#include <algorithm>
#include <cstdint>

namespace bptt {

constexpr std::int64_t chunk_rows = 384;  // whose deltas a thread holds at a time in the backward pass

// Into how many parts a deterministic backward walk divides its rows, each with weight gradients of its own.
constexpr std::int64_t fixed_parts(std::int64_t rows) {
    return std::clamp<std::int64_t>(rows / 8, std::min<std::int64_t>(rows, 2), 8);
}

enum Activation { TANH, RELU, SIGMOID, SOFTPLUS, GELU, IDENTITY };  // of an Elman cell
constexpr const char* activation_names[] = {"tanh", "relu", "sigmoid", "softplus", "gelu", "identity"};
constexpr int n_activations = 6;

// Beside every pointer stands its shape. Packed sequences have their N rows step after step; others have N = T·B.
template <class S>
struct Call {
    std::int64_t T, B, I, H;
    const std::int64_t* batch_sizes;  // [T] or null: B each
    const S* x;                       // [N,I] rows x_step apart by step and x_row apart by row
    std::int64_t x_step, x_row;
    const S *h0, *c0;      // [B,H] or null: zeros
    const S *W_ih, *W_hh;  // [G*H,I] [G*H,H]
    const S *b_ih, *b_hh;  // [G*H] or null
    S *y, *c;            // [N,H]; c null in a forward call that keeps nothing
    S* kept;             // [N,K*H] or null: nothing is kept
    S *h_n, *c_n;        // [B,H] forward only: the state after each sequence's last step; of one step null or c itself
    const S *W_out, *b_out;  // [O,H] [O] or null: the read-out of one step's y
    S* out;                  // [B,O] or null: not wanted
    std::int64_t O;
    int activation;
    S leak;
    int threads;
    bool deterministic;  // a row's results and the sums depend on neither the threads nor the rows beside it
    // backward only
    const S* dy;  // [N,H] or null, strides dy_step, dy_row, dy_unit
    std::int64_t dy_step, dy_row, dy_unit;
    const S *dh_final, *dc_final;  // [B,H] or null
    S *dx, *dh0, *dc0;             // [N,I] [B,H] [B,H]; null where not wanted
    S *dW_ih, *dW_hh;              // [G*H,I] [G*H,H]; null where not wanted
    S *db_ih, *db_hh;              // [G*H]; null where not wanted
    S *delta_ih, *delta_hh, *dh;   // [N,G*H] [N,G*H] [N,H] or null; delta_ih only where it differs
    // A sweep: the backward pass of many errors through one recorded walk, with B = copies · shared rows: (copy, row).
    std::int64_t shared;         // batch rows of the recorded walk, [T*shared,·], which all copies read; 0: no sweep
    const std::int64_t* active;  // [T] or null: how many rows have an error at a step; it does not increase in time
    S* squares;                  // [N/shared] ‖dh‖² of each copy, or null
    S *products_ih, *products_hh;  // [N,shared] delta's rows times those of their copy, or null; ih only where it differs
};

}  // namespace bptt
