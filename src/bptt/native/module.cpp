// The door from Python: tensors in, the kernels of the best instruction set this machine has behind it, tensors out.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "layer.h"
#include "scratch.h"
#include "table.h"
#include "tensors.h"

namespace bptt {
namespace {

struct Choice {
    std::string name;
    const Table* table;
};

bool has(const std::string& isa) {
#if defined(BPTT_X86)
    if (isa == "avx512")
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
    if (isa == "avx2") return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return isa == "portable";
}

const Table& table_of(const std::string& isa) {
#if defined(BPTT_X86)
    if (isa == "avx512") return table_avx512();
    if (isa == "avx2") return table_avx2();
#endif
    return table_portable();
}

// The best there is, or the one that BPTT_ISA names.
Choice choose() {
    const char* asked = std::getenv("BPTT_ISA");
    for (const char* isa : {"avx512", "avx2", "portable"}) {
        if (asked != nullptr && *asked != '\0' && asked != std::string(isa)) continue;
        if (has(isa)) return {isa, &table_of(isa)};
        if (asked != nullptr && *asked != '\0')
            throw std::runtime_error(std::string("BPTT_ISA=") + asked + ", but this machine has no " + asked);
    }
    throw std::runtime_error(std::string("BPTT_ISA=") + asked + " is none of avx512, avx2, portable");
}

const Choice& chosen() {
    static const Choice choice = choose();
    return choice;
}

using Address = std::uintptr_t;

template <class S>
S* at(Address address) { return reinterpret_cast<S*>(address); }

// What is walked, as fused.py's Choices: cell, activation, leak, and how many tensors are kept for the way back.
struct Choices {
    int cell, activation;
    double leak;
    int keeps;
    explicit Choices(nb::handle tuple)
        : cell(nb::cast<int>(item(tuple, 0))), activation(nb::cast<int>(item(tuple, 1))), leak(nb::cast<double>(item(tuple, 2))),
          keeps(nb::cast<int>(item(tuple, 3))) {}
    int gates() const { return cell == 0 ? 1 : cell == 1 ? 3 : 4; }
    bool has_c() const { return cell == 2; }
};

// x, h0, c0, W_ih, W_hh, b_ih, b_hh.
constexpr int operands = 7;

// A layer's sizes and the addresses of its operands; holds what they point into.
struct Operands {
    nb::object held[operands];
    std::vector<Index> batch_sizes;
    int bits;
    Index T, B, I, H, x_step, x_row;
    Address place[operands];

    // W_ih and the biases may be asked for their shapes alone.
    Operands(nb::handle sizes, nb::handle tensors, bool W_ih = true, bool biases = true) {
        const bool values[operands] = {true, true, true, W_ih, true, biases, biases};
        held[0] = readable(item(tensors, 0), false);
        for (int i = 1; i < operands; ++i)
            held[i] = values[i] ? dense(item(tensors, i)) : nb::borrow(item(tensors, i));
        for (int i = 0; i < operands; ++i) place[i] = values[i] ? address(held[i]) : 0;
        const View rows(held[0]);
        bits = rows.bits();
        if (bits == 0) throw std::invalid_argument("the kernels take float32 and float64 in main memory");
        H = View(held[4]).shape[1], I = rows.shape[rows.dimensions - 1];
        x_step = sizes.is_none() ? rows.strides[0] : 0, x_row = rows.strides[rows.dimensions - 2];
        if (sizes.is_none()) {
            T = rows.shape[0], B = rows.shape[1];
        } else {
            for (nb::handle size : sizes) batch_sizes.push_back(nb::cast<Index>(size));
            T = batch_sizes.size(), B = batch_sizes[0];
        }
    }

    // Uninitialised (T, B, columns), or (N, columns).
    nb::object rows(Index columns) const {
        nb::handle x = held[0];
        return batch_sizes.empty() ? empty(x, {T, B, columns}) : empty(x, {View(x).shape[0], columns});
    }

    template <class S>
    Layer<S> layer(const Choices& choices, int threads) const {
        Layer<S> a{};
        a.T = T, a.B = B, a.I = I, a.H = H, a.x_step = x_step, a.x_row = x_row;
        a.batch_sizes = batch_sizes.empty() ? nullptr : batch_sizes.data();
        a.x = at<const S>(place[0]), a.h0 = at<const S>(place[1]), a.c0 = at<const S>(place[2]);
        a.W_ih = at<const S>(place[3]), a.W_hh = at<const S>(place[4]);
        a.b_ih = at<const S>(place[5]), a.b_hh = at<const S>(place[6]);
        a.activation = choices.activation, a.leak = static_cast<S>(choices.leak), a.threads = threads;
        return a;
    }
};

// (y, c, kept, h_n, c_n) of a walk; None for what there is not. The final state is shaped as `state` says.
template <class State>
nb::object walk(const Choices& choices, const Operands& o, bool keep, int threads, State&& state) {
    // The largest first: where walk follows walk, it then finds the place again that the one before it left.
    nb::object kept = keep && choices.keeps > 0 ? o.rows(choices.keeps * o.H) : nb::none();
    nb::object h_n = state(), c_n = choices.has_c() ? empty_like(h_n) : nb::none();
    nb::object y = View(h_n).has_shape({o.T, o.B, o.H}) ? empty_like(h_n) : o.rows(o.H);
    nb::object c = choices.has_c() ? empty_like(y) : nb::none();
    Address to[] = {address(y), address(c), address(kept), address(h_n), address(c_n)};
    const Table& table = *chosen().table;
    auto run = [&](auto kind, auto* kernels) {
        using S = decltype(kind);
        Layer<S> a = o.layer<S>(choices, threads);
        a.y = at<S>(to[0]), a.c = at<S>(to[1]), a.kept = at<S>(to[2]), a.h_n = at<S>(to[3]), a.c_n = at<S>(to[4]);
        nb::gil_scoped_release release;
        kernels[choices.cell](a);
    };
    o.bits == 32 ? run(float{}, table.forward32) : run(double{}, table.forward64);
    return nb::make_tuple(y, c, kept, h_n, c_n);
}

nb::object forward(nb::handle choices, nb::handle batch_sizes, bool keep, int threads, nb::handle tensors) {
    Operands o(batch_sizes, tensors);
    return walk(Choices(choices), o, keep, threads, [&] { return empty(o.held[0], {o.B, o.H}); });
}

// Gradients of the operands that are wanted, None for the others. What of every step goes where is in `stops`:
// delta_ih, delta_hh, dh; squares, products_ih, products_hh of a sweep. `shared` and `active`: as Layer has them.
nb::object backward(nb::handle chosen_cell, nb::handle batch_sizes, nb::handle wanted, int threads, nb::handle tensors,
                    nb::handle walked, nb::handle seeds, nb::handle stops, Index shared, nb::handle active) {
    Choices choices(chosen_cell);
    auto wants = [&](int i) { return item(wanted, i).ptr() == Py_True && !item(tensors, i).is_none(); };
    Operands o(batch_sizes, tensors, wants(0), false);
    nb::list gradients;
    Address to[operands];
    for (int i = 0; i < operands; ++i) {
        nb::object gradient = nb::none();
        if (wants(i)) gradient = i == 0 ? o.rows(o.I) : empty_contiguous_like(o.held[i]);
        to[i] = address(gradient);
        gradients.append(gradient);
    }
    nb::object dy = nb::borrow(item(seeds, 0)), dh_n = dense(item(seeds, 1)), dc_n = dense(item(seeds, 2));
    Index strides[3] = {};  // of a step, a row, a unit
    if (!dy.is_none()) {
        dy = readable(dy, true);
        const View view(dy);
        std::copy_n(view.strides, view.dimensions, strides + 3 - view.dimensions);
    }
    Address from[] = {address(dy), address(dh_n), address(dc_n), address(item(walked, 0)), address(item(walked, 1)),
                      address(item(walked, 2))};
    Address stop[6];
    for (int i = 0; i < 6; ++i) stop[i] = address(item(stops, i));
    std::vector<Index> reached;
    if (!active.is_none())
        for (nb::handle rows : active) reached.push_back(nb::cast<Index>(rows));
    const Table& table = *chosen().table;
    auto run = [&](auto kind, auto* kernels) {
        using S = decltype(kind);
        Layer<S> a = o.layer<S>(choices, threads);
        a.dy = at<const S>(from[0]), a.dh_final = at<const S>(from[1]), a.dc_final = at<const S>(from[2]);
        a.y = at<S>(from[3]), a.c = at<S>(from[4]), a.kept = at<S>(from[5]);
        a.dy_step = strides[0], a.dy_row = strides[1], a.dy_unit = strides[2];
        a.dx = at<S>(to[0]), a.dh0 = at<S>(to[1]), a.dc0 = at<S>(to[2]);
        a.dW_ih = at<S>(to[3]), a.dW_hh = at<S>(to[4]), a.db_ih = at<S>(to[5]), a.db_hh = at<S>(to[6]);
        a.delta_ih = at<S>(stop[0]), a.delta_hh = at<S>(stop[1]), a.dh = at<S>(stop[2]);
        a.squares = at<S>(stop[3]), a.products_ih = at<S>(stop[4]), a.products_hh = at<S>(stop[5]);
        a.shared = shared, a.active = reached.empty() ? nullptr : reached.data();
        nb::gil_scoped_release release;
        kernels[choices.cell](a);
    };
    o.bits == 32 ? run(float{}, table.backward32) : run(double{}, table.backward64);
    return gradients;
}

// A module's weight by its name: a tensor itself, of the shape and the dtype; else null.
nb::handle weight(nb::handle parameters, nb::handle name, int bits, std::initializer_list<Index> shape) {
    nb::handle w = PyDict_GetItem(parameters.ptr(), name.ptr());
    bool fits = w.is_valid() && torch().has_type(w);
    if (fits) {
        const View view(w);
        fits = view.bits() == bits && view.has_shape(shape);
    }
    return fits ? w : nb::handle();
}

// The walk of a module of one layer and direction whose call is wholly ordinary, or None for one that needs another
// look. `names`: of the weights; hx: as the module takes it. With gradients to come: (y, c, kept, h_n, c_n), and the
// operands; else (y, state), and None.
nb::object ordinary(nb::handle chosen_cell, nb::handle names, nb::handle parameters, nb::handle x, nb::handle hx,
                    Index I, Index H, bool grad, int threads) try {
    if (!torch().has_type(x)) return nb::none();
    Choices choices(chosen_cell);
    const View rows(x);
    const int bits = rows.bits();
    if (bits == 0 || rows.dimensions != 3 || rows.shape[2] != I) return nb::none();
    const Index B = rows.shape[1], G = choices.gates() * H;
    if (rows.shape[0] == 0 || B == 0) return nb::none();
    nb::handle tensors[operands] = {x, nb::none(), nb::none()};
    if (!hx.is_none()) {
        bool pair = PyTuple_Check(hx.ptr()) && PyTuple_GET_SIZE(hx.ptr()) == 2;
        if (pair != choices.has_c()) return nb::none();
        for (int i = 0; i < 1 + pair; ++i) {
            nb::handle s = tensors[1 + i] = pair ? item(hx, i) : hx;
            if (!torch().has_type(s)) return nb::none();
            const View state(s);
            if (state.bits() != bits || !state.has_shape({1, B, H})) return nb::none();
        }
    }
    tensors[3] = weight(parameters, item(names, 0), bits, {G, I});
    tensors[4] = weight(parameters, item(names, 1), bits, {G, H});
    for (int i = 5; i < operands; ++i) {
        nb::handle name = item(names, i - 3);
        tensors[i] = name.is_none() ? nb::handle(Py_None) : weight(parameters, name, bits, {G});
    }
    bool keep = false;
    nb::object all = owned(PyTuple_New(operands));
    for (int i = operands - 1; i >= 0; --i) {
        nb::handle t = tensors[i];
        if (!t.is_valid()) return nb::none();
        keep = keep || (grad && !t.is_none() && torch().requires_grad.holds(t));
        PyTuple_SET_ITEM(all.ptr(), i, t.inc_ref().ptr());
    }
    Operands o(nb::none(), all);
    nb::object walked = walk(choices, o, keep, threads, [&] {
        return hx.is_none() ? empty(x, {1, B, H}) : empty_like(o.held[1]);
    });
    if (keep) return nb::make_tuple(walked, all);
    nb::handle h_n = item(walked, 3), c_n = item(walked, 4);
    nb::object state = choices.has_c() ? nb::make_tuple(h_n, c_n) : nb::make_tuple(h_n);
    return nb::make_tuple(nb::make_tuple(item(walked, 0), state), nb::none());
} catch (const Unreadable&) {
    return nb::none();
}

}  // namespace
}  // namespace bptt

NB_MODULE(_native, m) {
    using namespace bptt;
    torch();  // without what is looked up there the import fails
    m.def("isa", [] { return chosen().name; });
    m.attr("chunk_rows") = chunk_rows;
    m.def("scratch", &Scratch::asked);
    m.def("forward", &forward, nb::arg("choices"), nb::arg("batch_sizes").none(), nb::arg("keep"), nb::arg("threads"),
          nb::arg("operands"));
    m.def("backward", &backward, nb::arg("choices"), nb::arg("batch_sizes").none(), nb::arg("wanted"),
          nb::arg("threads"), nb::arg("operands"), nb::arg("walked"), nb::arg("seeds"), nb::arg("stops"),
          nb::arg("shared"), nb::arg("active").none());
    m.def("ordinary", &ordinary, nb::arg("choices"), nb::arg("names"), nb::arg("parameters"), nb::arg("x"),
          nb::arg("hx").none(), nb::arg("I"), nb::arg("H"), nb::arg("grad"), nb::arg("threads"));
}
