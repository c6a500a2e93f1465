// The sizes and operands of a layer's walk, checked.
#pragma once

#include "arguments.h"
#include "call.h"

namespace bptt {

constexpr int n_operands = 7;
constexpr const char* operand_names[n_operands] = {"x", "h0", "c0", "W_ih", "W_hh", "b_ih", "b_hh"};

struct Operands {
    std::vector<Index> batch_sizes;
    bool one_step;  // x is (B, I), or (I) of one row, of a single step; so is everything else without T in front
    int bits;
    Index N, T, B, I, H, G, x_step = 0, x_row;  // N: rows of x where packed; G: gates · H
    Argument x, h0, c0, W_ih, W_hh, b_ih, b_hh;

    // of_module: states may have a 1 in front, and x may be one step's (B, I) or (I). reads_W_ih, reads_biases: a backward walk may need their shapes alone.
    // shared: as in Call.
    Operands(const Choices& choices, nb::handle sizes, nb::handle tensors, bool of_module, bool reads_W_ih = true,
             bool reads_biases = true, Index shared = 0) {
        tuple_of(tensors, n_operands, "a walk takes x, h0, c0, W_ih, W_hh, b_ih, b_hh");
        const bool packed = !sizes.is_none();
        const nb::handle like = item(tensors, 0);
        const View input(like), recurrent(item(tensors, 4));
        one_step = of_module && !packed && (input.dimensions == 1 || input.dimensions == 2);
        const int dimensions = packed ? 2 : one_step ? input.dimensions : 3;
        bits = input.bits();
        require(bits != 0, "the kernels take float32 and float64 in main memory");
        require(input.dimensions == dimensions, "x must be (T, B, I), or (N, I) with batch_sizes");
        require(recurrent.dimensions == 2, "W_hh must be (G·H, H)");
        H = recurrent.shape[1], G = choices.cell->gates * H, I = input.shape[dimensions - 1];
        N = dimensions == 1 ? 1 : input.shape[0];
        require(H >= 1 && I >= 1, "x must have at least one feature, and W_hh one column");
        batch_sizes = checked_sizes(sizes, N);
        T = packed ? static_cast<Index>(batch_sizes.size()) : one_step ? 1 : N;
        B = packed ? batch_sizes[0] : one_step ? N : input.shape[1];
        if (nb::handle state = item(tensors, 1); !packed && !shared && !state.is_none()) {
            const View initial(state);  // x must have its batch
            if (initial.dimensions > 1) B = initial.shape[initial.dimensions - 2];
        }
        require(T >= 1, "x is a sequence of length 0; the length must be at least 1");
        require(!one_step || B == N, "x and the state must have the same batch");
        require(shared == 0 || (!packed && shared > 0 && B % shared == 0), "a sweep takes copies of a whole batch");

        auto read = [&](int i, const Shape& shape, Layout layout = Layout::dense) {
            return Argument(operand_names[i], item(tensors, i), like, bits, shape, layout);
        };
        const Shape state{{shared ? shared : B, H}, 2, of_module}, bias{{G}, 1};
        x = read(0, dimensions == 1 ? Shape{{I}, 1} : rows(I), Layout::rows);
        x_row = dimensions == 1 ? I : x.view.strides[dimensions - 2];
        if (!packed && !one_step) x_step = x.view.strides[0];
        h0 = read(1, state), c0 = read(2, state);
        require(choices.cell->has_c ? c0.is_there() == h0.is_there() : !c0.is_there(), "c0 is for the LSTM, and needed there");
        W_hh = read(4, {{G, H}, 2});
        if (reads_W_ih) W_ih = read(3, {{G, I}, 2});
        if (reads_biases) b_ih = read(5, bias), b_hh = read(6, bias);
        require(x.is_there() && W_hh.is_there() && (W_ih.is_there() || !reads_W_ih), "x, W_ih and W_hh are needed");
    }

    // (T, B, columns), or (N, columns) where packed or of one step.
    Shape rows(Index columns) const {
        return batch_sizes.empty() && !one_step ? Shape{{T, B, columns}, 3} : Shape{{N, columns}, 2};
    }

    // A call with what both directions read.
    template <class S>
    Call<S> call(const Choices& choices, int threads, bool deterministic) const {
        Call<S> call{};
        call.T = T, call.B = B, call.I = I, call.H = H, call.x_step = x_step, call.x_row = x_row;
        call.batch_sizes = batch_sizes.empty() ? nullptr : batch_sizes.data();
        call.x = x.data<S>(), call.h0 = h0.data<S>(), call.c0 = c0.data<S>();
        call.W_ih = W_ih.data<S>(), call.W_hh = W_hh.data<S>(), call.b_ih = b_ih.data<S>(), call.b_hh = b_hh.data<S>();
        call.activation = choices.activation, call.leak = static_cast<S>(choices.leak), call.threads = threads;
        call.deterministic = deterministic;
        return call;
    }
};

}  // namespace bptt
