// The Python module: tensors in, a kernel of the instruction set in use, tensors out.
#include <pthread.h>

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "operands.h"
#include "origin.h"
#include "scratch.h"
#include "stack.h"

namespace bptt {
namespace {

// (y, c, kept, h_n, c_n, origin of the weights) of a walk, with None for what the cell does not have or `keep` does not ask
// for. new_state() creates the final state; one step of (B, I) has none: its y and c are the state.
template <class NewState>
nb::object walk(const Choices& choices, const Operands& o, nb::handle tensors, bool keep, int threads, bool deterministic,
                NewState&& new_state) {
    const bool has_c = choices.cell->has_c;
    // The largest first: a walk that follows another then gets the memory that the other one freed.
    nb::object kept = keep && choices.keeps() > 0 ? empty(o.x.held, o.rows(choices.keeps() * o.H)) : nb::none();
    nb::object h_n = o.one_step ? nb::none() : new_state(), c_n = has_c && !o.one_step ? empty_like(h_n) : nb::none();
    const bool like_state = !o.one_step && View(h_n).has_shape({o.T, o.B, o.H});
    nb::object y = like_state ? empty_like(h_n) : empty(o.x.held, o.rows(o.H));
    nb::object c = has_c && (keep || o.one_step) ? empty_like(y) : nb::none();
    if (o.one_step) c_n = c;
    auto run = [&](auto kind, auto kernel) {
        using S = decltype(kind);
        Call<S> call = o.call<S>(choices, threads, deterministic);
        call.y = data_of<S>(y), call.c = data_of<S>(c), call.kept = data_of<S>(kept);
        call.h_n = data_of<S>(h_n), call.c_n = data_of<S>(c_n);
        nb::gil_scoped_release release;
        kernel(call);
    };
    o.bits == 32 ? run(float{}, choices.cell->forward32) : run(double{}, choices.cell->forward64);
    const Argument* const weights[] = {&o.W_ih, &o.W_hh, &o.b_ih, &o.b_hh};
    return nb::make_tuple(y, c, kept, h_n, c_n, keep ? origin_of(weights, tensors) : nb::none());
}

nb::object forward(nb::handle cell, nb::handle batch_sizes, bool keep, int threads, bool deterministic, nb::handle tensors) {
    const Choices choices(cell);
    const Operands o(choices, batch_sizes, tensors, false);
    return walk(choices, o, tensors, keep, threads, deterministic, [&] { return empty(o.x.held, {{o.B, o.H}, 2}); });
}

// Uninitialised, for the gradient of t; t may have become another tensor since the forward walk.
nb::object gradient_of(nb::handle t, const Argument& x, const Shape& shape) {
    View view;
    if (torch().has_type(t) && view.read(t) && view.bits() == x.view.bits() && shape.fits(view) && view.is_contiguous())
        return empty_like(t);
    return empty(x.held, shape);
}

// The operands with W_hh, and W_ih where it is read, as the forward walk read them.
nb::object with_weights_of(const Origin& origin, nb::handle tensors, bool reads_W_ih) {
    const bool moved_ih = reads_W_ih && !origin.matches(0, item(tensors, 3)), moved_hh = !origin.matches(1, item(tensors, 4));
    if (!moved_ih && !moved_hh) return nb::borrow(tensors);
    return nb::make_tuple(item(tensors, 0), item(tensors, 1), item(tensors, 2),
                          moved_ih ? origin.restored(0) : nb::borrow(item(tensors, 3)),
                          moved_hh ? origin.restored(1) : nb::borrow(item(tensors, 4)), item(tensors, 5), item(tensors, 6));
}

// Gradients of the wanted operands, None for the others.
// walked: y, c, kept. seeds: ∂L/∂(y, h_n, c_n). by_step: tensors that the caller made for delta_ih, delta_hh and dh of every
// step, and for squares, products_ih and products_hh of a sweep, or None. shared, active: as in Call. walk_origin: of the
// weights, where they may have changed since the forward walk.
nb::object backward(nb::handle cell, nb::handle batch_sizes, nb::handle wanted, int threads, bool deterministic,
                    nb::handle tensors, nb::handle walked, nb::handle seeds, nb::handle by_step, Index shared, nb::handle active,
                    nb::handle walk_origin) {
    const Choices choices(cell);
    const bool has_c = choices.cell->has_c, may_differ = !walk_origin.is_none();
    tuple_of(wanted, n_operands, "wanted must have one bool for each of x, h0, c0, W_ih, W_hh, b_ih, b_hh");
    tuple_of(tensors, n_operands, "a walk takes x, h0, c0, W_ih, W_hh, b_ih, b_hh");
    tuple_of(walked, 3, "a backward walk takes y, c, kept"), tuple_of(seeds, 3, "a backward walk takes dy, dh_n, dc_n");
    tuple_of(by_step, 6, "a backward walk takes six tensors for what it computes at each step");
    auto wants = [&](int i) { return item(wanted, i).ptr() == Py_True && !item(tensors, i).is_none(); };
    nb::object as_walked = may_differ ? with_weights_of(Origin(walk_origin), tensors, wants(0)) : nb::borrow(tensors);
    const Operands o(choices, batch_sizes, as_walked, true, wants(0) || !may_differ, !may_differ, shared);
    for (int i = 1; i < n_operands; ++i) require(!shared || !wants(i), "a sweep has the gradient of x alone");

    auto read = [&](const char* name, nb::handle t, const Shape& shape, Layout layout = Layout::dense) {
        return Argument(name, t, o.x.held, o.bits, shape, layout);
    };
    auto recorded = [&](Index columns) { return shared ? Shape{{o.T, shared, columns}, 3, false, true} : o.rows(columns); };
    const Shape state{{o.B, o.H}, 2, true};
    const Argument y = read("y", item(walked, 0), recorded(o.H), Layout::made);
    const Argument c = read("c", item(walked, 1), recorded(o.H), Layout::made);
    const Argument kept = read("kept", item(walked, 2), recorded(choices.keeps() * o.H), Layout::made);
    const bool is_complete = c.is_there() == has_c && kept.is_there() == (choices.keeps() > 0);
    require(y.is_there() && (is_complete || o.B == 0),  // an operator's empty tensor stands for None
            "y, c of an LSTM, and what the walk kept are needed, as a walk with keep=True returns them");
    const Argument dy = read("dy", item(seeds, 0), o.rows(o.H), Layout::spread);
    const Argument dh_n = read("dh_n", item(seeds, 1), state), dc_n = read("dc_n", item(seeds, 2), state);
    require(has_c || !dc_n.is_there(), "dc_n is for the LSTM");
    Index dy_strides[3] = {};  // of a step, a row, a unit
    if (dy.is_there()) std::copy_n(dy.view.strides, dy.view.dimensions, dy_strides + 3 - dy.view.dimensions);
    const std::vector<Index> active_rows = checked_active(active, o.T, o.B);

    auto written = [&](int i, const Shape& shape) {
        const Argument t = read("a tensor to write to", item(by_step, i), shape);
        require(t.held.ptr() == item(by_step, i).ptr(), "a tensor to write to must be contiguous");
        return t;
    };
    const Shape squares_shape{{o.T, shared ? o.B / shared : 0}, 2}, products{{o.T, squares_shape.sizes[1], shared, shared}, 4};
    const Argument delta_ih = written(0, o.rows(o.G)), delta_hh = written(1, o.rows(o.G)), dh = written(2, o.rows(o.H));
    const Argument squares = written(3, squares_shape), products_ih = written(4, products), products_hh = written(5, products);
    require(!delta_ih.is_there() || delta_hh.is_there(), "delta_ih goes with delta_hh");
    require(!products_ih.is_there() || products_hh.is_there(), "products_ih go with products_hh");

    const Shape shapes[] = {o.rows(o.I), state, state, {{o.G, o.I}, 2}, {{o.G, o.H}, 2}, {{o.G}, 1}, {{o.G}, 1}};
    const nb::handle read_from[] = {o.x.held, o.h0.held, o.c0.held};  // contiguous, as a gradient has to be
    nb::object gradients[n_operands];
    for (int i = 0; i < n_operands; ++i)
        gradients[i] = wants(i) ? gradient_of(i < 3 ? read_from[i] : item(tensors, i), o.x, shapes[i]) : nb::none();
    auto run = [&](auto kind, auto kernel) {
        using S = decltype(kind);
        Call<S> call = o.call<S>(choices, threads, deterministic);
        call.y = y.data<S>(), call.c = c.data<S>(), call.kept = kept.data<S>();
        call.dy = dy.data<S>(), call.dh_final = dh_n.data<S>(), call.dc_final = dc_n.data<S>();
        call.dy_step = dy_strides[0], call.dy_row = dy_strides[1], call.dy_unit = dy_strides[2];
        S** const to[] = {&call.dx, &call.dh0, &call.dc0, &call.dW_ih, &call.dW_hh, &call.db_ih, &call.db_hh};
        for (int i = 0; i < n_operands; ++i) *to[i] = data_of<S>(gradients[i]);
        call.delta_ih = delta_ih.data<S>(), call.delta_hh = delta_hh.data<S>(), call.dh = dh.data<S>();
        call.squares = squares.data<S>(), call.products_ih = products_ih.data<S>(), call.products_hh = products_hh.data<S>();
        call.shared = shared, call.active = active_rows.empty() ? nullptr : active_rows.data();
        nb::gil_scoped_release release;
        kernel(call);
    };
    o.bits == 32 ? run(float{}, choices.cell->backward32) : run(double{}, choices.cell->backward64);
    nb::list found;
    for (nb::object& gradient : gradients) found.append(gradient);
    return found;
}

// The forward walk of a module of one layer and direction with plain arguments, or a cell's step of x (B, I); None where an
// argument needs the module's own checks. names: of the weights in `parameters`; hx: as the module takes it.
// Returns (walk's result, the operands) where a gradient is wanted, else ((y, state), None).
nb::object ordinary(nb::handle cell, nb::handle names, nb::handle parameters, nb::handle x, nb::handle hx, Index I, Index H,
                    bool grad, int threads, bool deterministic) try {
    if (!torch().has_type(x)) return nb::none();
    const Choices choices(cell);
    const View input(x);
    const int dimensions = input.dimensions;
    if (input.bits() == 0 || dimensions < 2 || dimensions > 3 || input.shape[dimensions - 1] != I) return nb::none();
    if (input.shape[0] == 0 || input.shape[1] == 0) return nb::none();
    nb::handle given[2] = {Py_None, Py_None};
    if (!split_state(choices, hx, given, dimensions)) return nb::none();
    nb::object operands = operands_of(names, parameters, x, given);
    if (operands.is_none()) return operands;
    const bool keep = grad && requires_gradient(operands);
    const Operands o(choices, nb::none(), operands, true);
    if (o.H != H) return nb::none();
    nb::object walked = walk(choices, o, operands, keep, threads, deterministic, [&] {
        return hx.is_none() ? empty(x, {{1, o.B, H}, 3}) : empty_like(o.h0.held);
    });
    if (keep) return nb::make_tuple(walked, operands);
    nb::handle h_n = item(walked, o.one_step ? 0 : 3), c_n = item(walked, 4);
    nb::object state = choices.cell->has_c ? nb::make_tuple(h_n, c_n) : nb::make_tuple(h_n);
    return nb::make_tuple(nb::make_tuple(item(walked, 0), state), nb::none());
} catch (const std::invalid_argument&) {
    return nb::none();
}

// (name, gates, keeps, has_c, one_delta) of each cell.
nb::object described_cells() {
    nb::list cells;
    for (const CellKernels& cell : table_portable())
        cells.append(nb::make_tuple(cell.name, cell.gates, cell.keeps, cell.has_c, cell.one_delta));
    return nb::tuple(cells);
}

}  // namespace
}  // namespace bptt

NB_MODULE(_native, m) {
    using namespace bptt;
    pthread_atfork(nullptr, nullptr, [] { AfterFork::run = BPTT_ISA::own_threads; });
    torch();  // the import fails where a part of torch that is needed is missing
    m.attr("cells") = described_cells();
    m.attr("chunk_rows") = chunk_rows;
    m.def("fixed_parts", &fixed_parts, nb::arg("rows"));
    m.def("isa", [] { return isa_in_use().name; });
    m.def("scratch", &Scratch::peak_since_last_call);
    m.def("keeps", [](nb::handle choices) { return Choices(choices).keeps(); }, nb::arg("choices"));
    m.def("forward", &forward, nb::arg("choices"), nb::arg("batch_sizes").none(), nb::arg("keep"), nb::arg("threads"),
          nb::arg("deterministic"), nb::arg("operands"));
    m.def("backward", &backward, nb::arg("choices"), nb::arg("batch_sizes").none(), nb::arg("wanted"),
          nb::arg("threads"), nb::arg("deterministic"), nb::arg("operands"), nb::arg("walked"), nb::arg("seeds"),
          nb::arg("by_step"), nb::arg("shared"), nb::arg("active").none(), nb::arg("origin").none());
    m.def("as_walked", &as_walked, nb::arg("origin"), nb::arg("weights"));
    m.def("ordinary", &ordinary, nb::arg("choices"), nb::arg("names"), nb::arg("parameters"), nb::arg("x"),
          nb::arg("hx").none(), nb::arg("I"), nb::arg("H"), nb::arg("grad"), nb::arg("threads"), nb::arg("deterministic"));
    m.def("stack", &stack, nb::arg("choices"), nb::arg("names"), nb::arg("directions"), nb::arg("I"), nb::arg("H"),
          nb::arg("parameters"), nb::arg("x"), nb::arg("hx").none(), nb::arg("readout").none(), nb::arg("grad"),
          nb::arg("threads"), nb::arg("deterministic"));
}
