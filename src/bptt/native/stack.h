// All layers and directions of a module in one call, without gradients; and a module's arguments as operands.
#pragma once

#include <cstring>
#include <exception>
#include <utility>
#include <vector>

#include "operands.h"
#include "origin.h"
#include "threads.h"

namespace bptt {

// The memory of a tensor created here; null for None.
template <class S>
S* data_of(nb::handle t) {
    return t.is_none() ? nullptr : reinterpret_cast<S*>(View(t).address());
}

// The parts of a module's state hx in `state`; false where it is not as the cell's must be. None is left as it is.
inline bool split_state(const Choices& choices, nb::handle hx, nb::handle (&state)[2], int dimensions) {
    if (hx.is_none()) return true;
    const bool pair = PyTuple_Check(hx.ptr()) && PyTuple_GET_SIZE(hx.ptr()) == 2;
    if (pair != choices.cell->has_c) return false;
    for (int i = 0; i < 1 + pair; ++i) {
        state[i] = pair ? item(hx, i) : hx;
        if (!torch().has_type(state[i]) || View(state[i]).dimensions != dimensions) return false;
    }
    return true;
}

// The operands of a module's walk: x, its state, and the weights by their names in `parameters`; None where a weight needs
// the module's own checks.
inline nb::object operands_of(nb::handle names, nb::handle parameters, nb::handle x, const nb::handle (&state)[2]) {
    nb::handle tensors[n_operands] = {x, state[0], state[1], Py_None, Py_None, Py_None, Py_None};
    for (int i = 0; i < n_weights; ++i)
        if (!item(names, i).is_none()) {
            nb::handle weight = tensors[3 + i] = PyDict_GetItem(parameters.ptr(), item(names, i).ptr());
            if (!weight.is_valid() || !torch().has_type(weight)) return nb::none();
        }
    nb::object operands = owned(PyTuple_New(n_operands));
    for (int i = 0; i < n_operands; ++i) PyTuple_SET_ITEM(operands.ptr(), i, tensors[i].inc_ref().ptr());
    return operands;
}

// Whether one of a tuple's tensors requires a gradient.
inline bool requires_gradient(nb::handle tensors) {
    for (Py_ssize_t i = PyTuple_GET_SIZE(tensors.ptr()) - 1; i >= 0; --i)  // the weights first: mostly one of them does
        if (nb::handle t = item(tensors, i); !t.is_none() && torch().requires_grad.is_true(t)) return true;
    return false;
}

// f(0) and f(1), on two threads where there are two. An exception of one of them is thrown again here.
template <class F>
void both(int threads, F&& f) {
    if (threads == 1) return f(0), f(1);  // which may use more: inside a parallel region they would be new ones each time
    std::exception_ptr thrown[2];
    auto caught = [&](int i) {
        try {
            f(i);
        } catch (...) {
            thrown[i] = std::current_exception();
        }
    };
    BPTT_ISA::side_by_side(2, threads, caught);
    for (const auto& exception : thrown)
        if (exception) std::rethrow_exception(exception);
}

// to (T,B,2H): the rows of y (2,T,B,H), whose second half lies from the last step to the first, one beside the other.
template <class S>
void join_directions(S* to, const S* y, Index T, Index B, Index H, int threads) {
    both(T * B * H < 1 << 17 ? 1 : threads, [&](int half) {
        for (Index t = T * half / 2; t < T * (half + 1) / 2; ++t)
            for (Index r = 0; r < B; ++r) {
                S* row = to + (t * B + r) * 2 * H;
                std::memcpy(row, y + (t * B + r) * H, H * sizeof(S));
                std::memcpy(row + H, y + ((2 * T - 1 - t) * B + r) * H, H * sizeof(S));
            }
    });
}

// A read-out of one step, a linear layer's (weight, bias), checked; O is 0 where there is none.
struct Readout {
    Argument weight, bias;
    Index O = 0;
    Readout(nb::handle pair, nb::handle x, int bits, Index H) {
        if (pair.is_none()) return;
        tuple_of(pair, 2, "a read-out is (weight, bias)");
        require(torch().has_type(item(pair, 0)), "a read-out's weight is a tensor");
        const View given(item(pair, 0));
        require(given.dimensions == 2 && given.shape[0] > 0, "a read-out's weight is (O, H)");
        O = given.shape[0];
        weight = Argument("weight", item(pair, 0), x, bits, {{O, H}, 2});
        bias = Argument("bias", item(pair, 1), x, bits, {{O}, 1});
    }
};

// A module's walk with plain arguments: (y, state), the state as the module returns it from one step.
// names: of the weights in `parameters`, of each layer and direction, the forward direction first. x: (T, B, I); or of one
// step (B, I) or (I), which a module of one direction takes. hx: (L·D, B, H) each, (L, H) beside an x (I); None for zeros.
// readout: of one step, a linear layer's (weight, bias); None for y = h. None where a gradient is wanted, where a product of
// many rows is faster by itself, or where an argument needs the module's own checks.
inline nb::object stack(nb::handle cell, nb::handle names, Index directions, Index I, Index H, nb::handle parameters,
                        nb::handle x, nb::handle hx, nb::handle readout, bool grad, int threads, bool deterministic) try {
    constexpr Index few_rows = 16;
    constexpr double little_work = 2e6;  // floating-point operations for which waking a thread costs more than it saves
    if (!torch().has_type(x)) return nb::none();
    const Choices choices(cell);
    const View input(x);
    const int dimensions = input.dimensions, bits = input.bits();
    if (bits == 0 || dimensions < 1 || dimensions > 3 || input.shape[dimensions - 1] != I) return nb::none();
    const bool one_step = dimensions < 3, has_c = choices.cell->has_c;
    const Index T = one_step ? 1 : input.shape[0], B = dimensions == 1 ? 1 : input.shape[dimensions - 2];
    require(PyTuple_Check(names.ptr()) && (directions == 1 || directions == 2), "names are a tuple, of one or two directions");
    const Index walks = PyTuple_GET_SIZE(names.ptr());
    require(walks % directions == 0, "each layer has the names of all its directions");
    if (T == 0 || B == 0 || (one_step && directions > 1)) return nb::none();

    nb::handle state[2] = {Py_None, Py_None};
    if (!split_state(choices, hx, state, dimensions == 1 ? 2 : 3)) return nb::none();
    for (nb::handle s : state)
        if (grad && !s.is_none() && torch().requires_grad.is_true(s)) return nb::none();
    const Shape of_state = dimensions == 1 ? Shape{{walks, H}, 2} : Shape{{walks, B, H}, 3};
    const Argument h0("hx", state[0], x, bits, of_state), c0("hx", state[1], x, bits, of_state);
    if (grad && !readout.is_none() && requires_gradient(readout)) return nb::none();
    const Readout out(readout, x, bits, H * directions);
    if (out.O && (!one_step || B > few_rows)) return nb::none();
    auto rows = [&](Index columns) {
        return dimensions == 1 ? Shape{{columns}, 1} : dimensions == 2 ? Shape{{B, columns}, 2} : Shape{{T, B, columns}, 3};
    };

    nb::object h = h0.is_there() ? empty_like(h0.held) : empty(x, of_state), c = has_c ? empty_like(h) : nb::none();
    nb::object y = nb::borrow(x), read = out.O ? empty(x, rows(out.O)) : nb::none();
    for (Index first = 0; first < walks; first += directions) {
        const bool is_read = out.O && first + directions == walks;  // h itself is y, which is read out
        const nb::handle none[2] = {Py_None, Py_None};
        std::vector<Operands> each;
        for (Index d = 0; d < directions; ++d) {
            nb::object operands = operands_of(item(names, first + d), parameters, y, none);
            if (operands.is_none() || (grad && requires_gradient(operands))) return nb::none();
            each.emplace_back(choices, nb::none(), operands, true);
            if (each[d].H != H) return nb::none();
        }
        nb::object walked = is_read ? nb::none() : empty(x, directions == 1 ? rows(H) : Shape{{2, T, B, H}, 4});
        nb::object joined = directions == 1 ? walked : empty(x, rows(2 * H));
        const double work = 2.0 * T * B * H * (each[0].I + H) * choices.cell->gates;  // of each direction
        const bool at_once = directions == 2 && B == 1 && T > 1 && work >= little_work;
        auto run = [&](auto kind, auto kernel) {
            using S = decltype(kind);
            Call<S> calls[2];
            for (Index d = 0; d < directions; ++d) {
                Call<S>& call = calls[d] = each[d].call<S>(choices, at_once ? 1 : threads, deterministic);
                const Index at = (first + d) * B * H;
                if (h0.is_there()) call.h0 = h0.data<S>() + at;
                if (c0.is_there()) call.c0 = c0.data<S>() + at;
                call.h_n = data_of<S>(h) + at;
                if (has_c) call.c_n = data_of<S>(c) + at;
                if (is_read) {
                    call.y = std::exchange(call.h_n, nullptr), call.out = data_of<S>(read), call.O = out.O;
                    call.W_out = out.weight.template data<S>(), call.b_out = out.bias.template data<S>();
                } else {
                    call.y = data_of<S>(walked) + d * T * B * H;
                }
                if (d == 1) call.x += (T - 1) * call.x_step, call.x_step = -call.x_step;
            }
            nb::gil_scoped_release release;
            if (directions == 1) return kernel(calls[0]);
            both(at_once ? threads : 1, [&](int d) { kernel(calls[d]); });
            join_directions(data_of<S>(joined), calls[0].y, T, B, H, threads);
        };
        bits == 32 ? run(float{}, choices.cell->forward32) : run(double{}, choices.cell->forward64);
        y = joined;
    }
    return nb::make_tuple(out.O ? read : y, has_c ? nb::object(nb::make_tuple(h, c)) : h);
} catch (const std::invalid_argument&) {
    return nb::none();
}

}  // namespace bptt
