// What a call of a kernel works on.
#pragma once

#include <cstdint>

namespace bptt {

constexpr std::int64_t chunk_rows = 384;  // whose deltas a thread holds on the way back

enum Activation { TANH, RELU, SIGMOID, SOFTPLUS, GELU, IDENTITY };  // of an Elman cell
constexpr const char* activation_names[] = {"tanh", "relu", "sigmoid", "softplus", "gelu", "identity"};
constexpr int n_activations = 6;

// One layer and direction; every pointer carries its shape. Packed sequences have (N, ·) rows, step after step; others N = T·B.
template <class S>
struct Layer {
    std::int64_t T, B, I, H;
    const std::int64_t* batch_sizes;  // [T] or null: B each
    const S* x;                       // [N,I] rows x_step apart by step and x_row apart by row
    std::int64_t x_step, x_row;
    const S *h0, *c0;      // [B,H] or null: zeros
    const S *W_ih, *W_hh;  // [G*H,I] [G*H,H]
    const S *b_ih, *b_hh;  // [G*H] or null
    S *y, *c;            // [N,H]
    S* kept;             // [N,K*H] or null: nothing is kept
    S *h_n, *c_n;        // [B,H] forward only: the state after each sequence's last step
    int activation;
    S leak;
    int threads;
    // backward only
    const S* dy;  // [N,H] or null, strides dy_step, dy_row, dy_unit
    std::int64_t dy_step, dy_row, dy_unit;
    const S *dh_final, *dc_final;  // [B,H] or null
    S *dx, *dh0, *dc0;             // [N,I] [B,H]; null: not wanted
    S *dW_ih, *dW_hh, *db_ih, *db_hh;
    S *delta_ih, *delta_hh, *dh;   // [N,G*H] [N,G*H] [N,H] of every step, or null; delta_ih where it differs
    // A sweep: many errors taken back through one recorded walk, B = copies · shared rows (copy, row of the batch).
    std::int64_t shared;         // rows of the recorded walk, [T*shared,·]; 0: each row has its own
    const std::int64_t* active;  // [T] or null: how many rows an error has reached at a step, not increasing in time
    S* squares;                  // [N/shared] ‖dh‖² of a copy, or null
    S *products_ih, *products_hh;  // [N,shared] of a row's delta with those of its copy, or null; ih where it differs
};

}  // namespace bptt
