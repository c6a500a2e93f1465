// The door from Python: tensors in, the kernels of the best instruction set this machine has behind it, tensors out.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <vector>

#include "arguments.h"
#include "origin.h"
#include "scratch.h"

namespace bptt {
namespace {

template <class S>
S* at(Address address) { return reinterpret_cast<S*>(address); }

// x, h0, c0, W_ih, W_hh, b_ih, b_hh.
constexpr int operands = 7;
constexpr const char* operand_names[operands] = {"x", "h0", "c0", "W_ih", "W_hh", "b_ih", "b_hh"};

// A layer's sizes and operands, checked.
struct Operands {
    std::vector<Index> batch_sizes;
    int bits;
    Index T, B, I, H, G, x_step = 0, x_row;
    Argument x, h0, c0, W_ih, W_hh, b_ih, b_hh;

    // What is read: a way back may ask for W_ih and the biases by their shapes alone. `of_module`: states may have a 1
    // in front. `shared`: as Layer has it.
    Operands(const Choices& choices, nb::handle sizes, nb::handle tensors, bool of_module, bool reads_W_ih = true,
             bool reads_biases = true, Index shared = 0) {
        tuple_of(tensors, operands, "a walk takes x, h0, c0, W_ih, W_hh, b_ih, b_hh");
        nb::handle like = item(tensors, 0), recurrent = item(tensors, 4);
        const View rows(like), square(recurrent);
        const int dimensions = sizes.is_none() ? 3 : 2;
        bits = rows.bits();
        require(bits != 0, "the kernels take float32 and float64 in main memory");
        require(rows.dimensions == dimensions, "x must be (T, B, I), or (N, I) with batch_sizes");
        require(square.dimensions == 2, "W_hh must be (G·H, H)");
        H = square.shape[1], G = choices.cell->gates * H, I = rows.shape[dimensions - 1];
        require(H >= 1 && I >= 1, "x must have at least one feature, and W_hh one column");
        batch_sizes = checked_sizes(sizes, rows.shape[0]);
        T = sizes.is_none() ? rows.shape[0] : static_cast<Index>(batch_sizes.size());
        B = sizes.is_none() ? rows.shape[1] : batch_sizes[0];
        if (nb::handle state = item(tensors, 1); sizes.is_none() && !shared && !state.is_none()) {
            const View rows_of(state);  // whose batch x must have
            if (rows_of.dimensions > 1) B = rows_of.shape[rows_of.dimensions - 2];
        }
        require(T >= 1, "x is a sequence of length 0; the length must be at least 1");
        require(shared == 0 || (sizes.is_none() && shared > 0 && B % shared == 0), "a sweep takes copies of a whole batch");

        auto read = [&](int i, const Shape& shape, Stands stands = Stands::dense) {
            return Argument(operand_names[i], item(tensors, i), like, bits, shape, stands);
        };
        const Shape state{{shared ? shared : B, H}, 2, of_module}, bias{{G}, 1};
        x = read(0, sizes.is_none() ? Shape{{T, B, I}, 3} : Shape{{rows.shape[0], I}, 2}, Stands::rows);
        x_row = x.view.strides[dimensions - 2];
        if (sizes.is_none()) x_step = x.view.strides[0];
        h0 = read(1, state), c0 = read(2, state);
        require(choices.cell->has_c ? c0.is_there() == h0.is_there() : !c0.is_there(), "c0 is for the LSTM, and needed there");
        W_hh = read(4, {{G, H}, 2});
        if (reads_W_ih) W_ih = read(3, {{G, I}, 2});
        if (reads_biases) b_ih = read(5, bias), b_hh = read(6, bias);
        require(x.is_there() && W_hh.is_there() && (W_ih.is_there() || !reads_W_ih), "x, W_ih and W_hh are needed");
    }

    // The shape of (T, B, columns), or (N, columns).
    Shape rows(Index columns) const {
        return batch_sizes.empty() ? Shape{{T, B, columns}, 3} : Shape{{x.view.shape[0], columns}, 2};
    }

    template <class S>
    Layer<S> layer(const Choices& choices, int threads) const {
        Layer<S> a{};
        a.T = T, a.B = B, a.I = I, a.H = H, a.x_step = x_step, a.x_row = x_row;
        a.batch_sizes = batch_sizes.empty() ? nullptr : batch_sizes.data();
        a.x = at<const S>(x.address()), a.h0 = at<const S>(h0.address()), a.c0 = at<const S>(c0.address());
        a.W_ih = at<const S>(W_ih.address()), a.W_hh = at<const S>(W_hh.address());
        a.b_ih = at<const S>(b_ih.address()), a.b_hh = at<const S>(b_hh.address());
        a.activation = choices.activation, a.leak = static_cast<S>(choices.leak), a.threads = threads;
        return a;
    }
};

// The address of a tensor made here.
Address made(nb::handle t) { return t.is_none() ? 0 : View(t).address(); }

// (y, c, kept, h_n, c_n, origin of the weights) of a walk; None for what there is not, and without `keep` for the last. The final state is shaped as `state` says.
template <class State>
nb::object walk(const Choices& choices, const Operands& o, nb::handle tensors, bool keep, int threads, State&& state) {
    // The largest first: where walk follows walk, it then finds the place again that the one before it left.
    nb::object kept = keep && choices.keeps() > 0 ? empty(o.x.held, o.rows(choices.keeps() * o.H)) : nb::none();
    nb::object h_n = state(), c_n = choices.cell->has_c ? empty_like(h_n) : nb::none();
    nb::object y = View(h_n).has_shape({o.T, o.B, o.H}) ? empty_like(h_n) : empty(o.x.held, o.rows(o.H));
    nb::object c = choices.cell->has_c ? empty_like(y) : nb::none();
    Address to[] = {made(y), made(c), made(kept), made(h_n), made(c_n)};
    auto run = [&](auto kind, auto kernel) {
        using S = decltype(kind);
        Layer<S> a = o.layer<S>(choices, threads);
        a.y = at<S>(to[0]), a.c = at<S>(to[1]), a.kept = at<S>(to[2]), a.h_n = at<S>(to[3]), a.c_n = at<S>(to[4]);
        nb::gil_scoped_release release;
        kernel(a);
    };
    o.bits == 32 ? run(float{}, choices.cell->forward32) : run(double{}, choices.cell->forward64);
    const Argument* const weights[] = {&o.W_ih, &o.W_hh, &o.b_ih, &o.b_hh};
    return nb::make_tuple(y, c, kept, h_n, c_n, keep ? origin_of(weights, tensors) : nb::none());
}

nb::object forward(nb::handle chosen_cell, nb::handle batch_sizes, bool keep, int threads, nb::handle tensors) {
    const Choices choices(chosen_cell);
    const Operands o(choices, batch_sizes, tensors, false);
    return walk(choices, o, tensors, keep, threads, [&] { return empty(o.x.held, {{o.B, o.H}, 2}); });
}

// Uninitialised, for the gradient of t, which may have become another tensor since the walk.
nb::object gradient_of(nb::handle t, const Argument& x, const Shape& shape) {
    if (torch().has_type(t)) {
        View view;
        if (view.of(t) && view.bits() == x.view.bits() && shape.fits(view) && view.is_contiguous()) return empty_like(t);
    }
    return empty(x.held, shape);
}

// Room that the caller made for what of every step goes out; None's address is null.
Address room(const char* name, nb::handle t, const Operands& o, const Shape& shape) {
    const Argument there(name, t, o.x.held, o.bits, shape);
    require(there.held.ptr() == t.ptr(), "what is written to must be contiguous");
    return there.address();
}

// The operands with W_hh, and W_ih where it is read, as they were walked.
nb::object with_weights_of(const Origin& then, nb::handle tensors, bool reads_W_ih) {
    const bool moved_ih = reads_W_ih && !then.is(0, item(tensors, 3)), moved_hh = !then.is(1, item(tensors, 4));
    if (!moved_ih && !moved_hh) return nb::borrow(tensors);
    return nb::make_tuple(item(tensors, 0), item(tensors, 1), item(tensors, 2),
                          moved_ih ? then.walked(0) : nb::borrow(item(tensors, 3)),
                          moved_hh ? then.walked(1) : nb::borrow(item(tensors, 4)), item(tensors, 5), item(tensors, 6));
}

// Gradients of the operands that are wanted, None for the others. What of every step goes where is in `stops`:
// delta_ih, delta_hh, dh; squares, products_ih, products_hh of a sweep. `shared` and `active`: as Layer has them.
// `origin`: of the weights, where they may have changed since the walk.
nb::object backward(nb::handle chosen_cell, nb::handle batch_sizes, nb::handle wanted, int threads, nb::handle tensors,
                    nb::handle walked, nb::handle seeds, nb::handle stops, Index shared, nb::handle active,
                    nb::handle origin) {
    const Choices choices(chosen_cell);
    tuple_of(wanted, operands, "wanted must have one bool for each of x, h0, c0, W_ih, W_hh, b_ih, b_hh");
    tuple_of(tensors, operands, "a walk takes x, h0, c0, W_ih, W_hh, b_ih, b_hh");
    tuple_of(walked, 3, "a walk back takes y, c, kept"), tuple_of(seeds, 3, "a walk back takes dy, dh_n, dc_n");
    tuple_of(stops, 6, "a walk back has six places to stop at");
    auto wants = [&](int i) { return item(wanted, i).ptr() == Py_True && !item(tensors, i).is_none(); };
    nb::object read_ones = nb::borrow(tensors);
    if (!origin.is_none()) read_ones = with_weights_of(Origin(origin), tensors, wants(0));
    const Operands o(choices, batch_sizes, read_ones, true, wants(0) || origin.is_none(), origin.is_none(), shared);
    for (int i = 1; i < operands; ++i) require(!shared || !wants(i), "a sweep has the gradient of x alone");

    const Index K = choices.keeps() * o.H;
    auto read = [&](const char* name, nb::handle t, const Shape& shape, Stands stands = Stands::dense) {
        return Argument(name, t, o.x.held, o.bits, shape, stands);
    };
    auto recorded = [&](Index columns) { return shared ? Shape{{o.T, shared, columns}, 3, false, true} : o.rows(columns); };
    const Shape state{{o.B, o.H}, 2, true};
    const Argument y = read("y", item(walked, 0), recorded(o.H), Stands::made);
    const Argument c = read("c", item(walked, 1), recorded(o.H), Stands::made);
    const Argument kept = read("kept", item(walked, 2), recorded(K), Stands::made);
    const bool is_all = c.is_there() == choices.cell->has_c && kept.is_there() == (K > 0);
    require(y.is_there() && (is_all || o.B == 0),  // an operator's empty tensor stands for None
            "y, c of an LSTM, and what the walk kept are needed, as a walk with keep=True returns them");
    const Argument dy = read("dy", item(seeds, 0), o.rows(o.H), Stands::spread);
    const Argument dh_n = read("dh_n", item(seeds, 1), state), dc_n = read("dc_n", item(seeds, 2), state);
    require(choices.cell->has_c || !dc_n.is_there(), "dc_n is for the LSTM");
    Index strides[3] = {};  // of a step, a row, a unit
    if (dy.is_there()) std::copy_n(dy.view.strides, dy.view.dimensions, strides + 3 - dy.view.dimensions);
    const std::vector<Index> reached = checked_active(active, o.T, o.B);

    const Shape copies{{o.T, shared ? o.B / shared : 0}, 2}, products{{o.T, copies.sizes[1], shared, shared}, 4};
    const Shape shapes[6] = {o.rows(o.G), o.rows(o.G), o.rows(o.H), copies, products, products};
    Address stop[6];
    for (int i = 0; i < 6; ++i) stop[i] = room("a place to stop at", item(stops, i), o, shapes[i]);
    require(!stop[0] || stop[1], "delta_ih goes with delta_hh"), require(!stop[4] || stop[5], "products_ih go with products_hh");

    const Shape of_operands[operands] = {o.rows(o.I), state, state, {{o.G, o.I}, 2}, {{o.G, o.H}, 2}, {{o.G}, 1}, {{o.G}, 1}};
    const nb::handle like[operands] = {o.x.held,    o.h0.held,        o.c0.held,       item(tensors, 3),
                                       o.W_hh.held, item(tensors, 5), item(tensors, 6)};
    nb::list gradients;
    Address to[operands];
    for (int i = 0; i < operands; ++i) {
        nb::object gradient = nb::none();
        if (wants(i)) gradient = i == 0 ? empty(o.x.held, of_operands[i]) : gradient_of(like[i], o.x, of_operands[i]);
        to[i] = made(gradient);
        gradients.append(gradient);
    }
    auto run = [&](auto kind, auto kernel) {
        using S = decltype(kind);
        Layer<S> a = o.layer<S>(choices, threads);
        a.dy = at<const S>(dy.address()), a.dh_final = at<const S>(dh_n.address()), a.dc_final = at<const S>(dc_n.address());
        a.y = at<S>(y.address()), a.c = at<S>(c.address()), a.kept = at<S>(kept.address());
        a.dy_step = strides[0], a.dy_row = strides[1], a.dy_unit = strides[2];
        a.dx = at<S>(to[0]), a.dh0 = at<S>(to[1]), a.dc0 = at<S>(to[2]);
        a.dW_ih = at<S>(to[3]), a.dW_hh = at<S>(to[4]), a.db_ih = at<S>(to[5]), a.db_hh = at<S>(to[6]);
        a.delta_ih = at<S>(stop[0]), a.delta_hh = at<S>(stop[1]), a.dh = at<S>(stop[2]);
        a.squares = at<S>(stop[3]), a.products_ih = at<S>(stop[4]), a.products_hh = at<S>(stop[5]);
        a.shared = shared, a.active = reached.empty() ? nullptr : reached.data();
        nb::gil_scoped_release release;
        kernel(a);
    };
    o.bits == 32 ? run(float{}, choices.cell->backward32) : run(double{}, choices.cell->backward64);
    return gradients;
}

// The walk of a module of one layer and direction whose call is wholly ordinary, or None for one that needs another
// look. `names`: of the weights; hx: as the module takes it. With gradients to come: what `walk` returns, and the
// operands; else (y, state), and None.
nb::object ordinary(nb::handle chosen_cell, nb::handle names, nb::handle parameters, nb::handle x, nb::handle hx,
                    Index I, Index H, bool grad, int threads) try {
    if (!torch().has_type(x)) return nb::none();
    const Choices choices(chosen_cell);
    const View rows(x);
    if (rows.bits() == 0 || rows.dimensions != 3 || rows.shape[2] != I) return nb::none();
    if (rows.shape[0] == 0 || rows.shape[1] == 0) return nb::none();
    nb::handle tensors[operands] = {x, nb::none(), nb::none()};
    if (!hx.is_none()) {
        bool pair = PyTuple_Check(hx.ptr()) && PyTuple_GET_SIZE(hx.ptr()) == 2;
        if (pair != choices.cell->has_c) return nb::none();
        for (int i = 0; i < 1 + pair; ++i) {
            nb::handle s = tensors[1 + i] = pair ? item(hx, i) : hx;
            if (!torch().has_type(s) || View(s).dimensions != 3) return nb::none();
        }
    }
    bool keep = false;
    nb::object all = owned(PyTuple_New(operands));
    for (int i = operands - 1; i >= 0; --i) {
        if (i > 2 && !item(names, i - 3).is_none()) {
            tensors[i] = PyDict_GetItem(parameters.ptr(), item(names, i - 3).ptr());
            if (!tensors[i].is_valid() || !torch().has_type(tensors[i])) return nb::none();
        } else if (i > 2) {
            tensors[i] = nb::handle(Py_None);
        }
        keep = keep || (grad && !tensors[i].is_none() && torch().requires_grad.holds(tensors[i]));
        PyTuple_SET_ITEM(all.ptr(), i, tensors[i].inc_ref().ptr());
    }
    const Operands o(choices, nb::none(), all, true);
    if (o.H != H) return nb::none();
    nb::object walked = walk(choices, o, all, keep, threads, [&] {
        return hx.is_none() ? empty(x, {{1, o.B, H}, 3}) : empty_like(o.h0.held);
    });
    if (keep) return nb::make_tuple(walked, all);
    nb::handle h_n = item(walked, 3), c_n = item(walked, 4);
    nb::object state = choices.cell->has_c ? nb::make_tuple(h_n, c_n) : nb::make_tuple(h_n);
    return nb::make_tuple(nb::make_tuple(item(walked, 0), state), nb::none());
} catch (const std::invalid_argument&) {
    return nb::none();
}

}  // namespace
}  // namespace bptt

NB_MODULE(_native, m) {
    using namespace bptt;
    torch();  // without what is looked up there the import fails
    m.def("isa", [] { return isa_in_use().name; });
    nb::list cells;
    for (const CellKernels& cell : table_portable())
        cells.append(nb::make_tuple(cell.name, cell.gates, cell.keeps, cell.has_c, cell.one_delta));
    m.attr("cells") = nb::tuple(cells);
    m.attr("chunk_rows") = chunk_rows;
    m.def("scratch", &Scratch::asked);
    m.def("keeps", [](nb::handle choices) { return Choices(choices).keeps(); }, nb::arg("choices"));
    m.def("forward", &forward, nb::arg("choices"), nb::arg("batch_sizes").none(), nb::arg("keep"), nb::arg("threads"),
          nb::arg("operands"));
    m.def("backward", &backward, nb::arg("choices"), nb::arg("batch_sizes").none(), nb::arg("wanted"),
          nb::arg("threads"), nb::arg("operands"), nb::arg("walked"), nb::arg("seeds"), nb::arg("stops"),
          nb::arg("shared"), nb::arg("active").none(), nb::arg("origin").none());
    m.def("as_walked", &as_walked, nb::arg("origin"), nb::arg("weights"));
    m.def("ordinary", &ordinary, nb::arg("choices"), nb::arg("names"), nb::arg("parameters"), nb::arg("x"),
          nb::arg("hx").none(), nb::arg("I"), nb::arg("H"), nb::arg("grad"), nb::arg("threads"));
}
