// The arguments of a walk, checked before a pointer is read. Modules and operators rely on these checks; there are no others.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "isa.h"
#include "tensors.h"

namespace bptt {

using Address = std::uintptr_t;

inline void require(bool fits, const char* message) {
    if (!fits) throw std::invalid_argument(message);
}

inline nb::handle tuple_of(nb::handle tuple, Py_ssize_t size, const char* message) {
    require(PyTuple_Check(tuple.ptr()) && PyTuple_GET_SIZE(tuple.ptr()) == size, message);
    return tuple;
}

// A str's characters.
inline std::string_view characters(nb::handle text) {
    Py_ssize_t size;
    const char* first = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
    if (first == nullptr) throw nb::python_error();
    return {first, static_cast<std::size_t>(size)};
}

// A cell as walks/kernels.py's Choices names it: (cell, activation, leak).
struct Choices {
    const CellKernels* cell = nullptr;
    int activation = 0;
    double leak;

    explicit Choices(nb::handle tuple) : leak(nb::cast<double>(item(tuple, 2))) {
        const std::string_view name = characters(item(tuple, 0)), phi = characters(item(tuple, 1));
        for (const CellKernels& one : *isa_in_use().table)
            if (name == one.name) cell = &one;
        require(cell != nullptr, "cell must be one of _native.cells: Elman, GRU, LSTM");
        while (activation < n_activations && phi != activation_names[activation]) ++activation;
        require(activation < n_activations, "activation must be tanh, relu, sigmoid, softplus, gelu or identity");
        require(leak > 0 && leak <= 1, "leak must lie in (0, 1]: 1 is the plain network, small is slow");
    }
    // How many (·, H) tensors a walk keeps for its backward pass, beside the states.
    int keeps() const { return cell->reads_output && leak == 1 && activation != GELU ? 0 : cell->keeps; }
};

inline std::string text(nb::handle object) { return nb::cast<std::string>(nb::str(object)); }

[[noreturn]] inline void refuse(const char* name, nb::handle t, const Shape& shape, nb::handle like) {
    nb::object sizes = owned(PySequence_Tuple(torch().shape.of(t).ptr()));
    throw std::invalid_argument(std::string(name) + " is " + text(sizes) + ", " + text(torch().dtype.of(t)) + "; " +
                                text(shape.tuple()) + (shape.or_more ? " or more, " : ", ") + text(torch().dtype.of(like)) +
                                " in main memory is needed");
}

inline std::string lost_memory(const char* name) {
    return std::string(name) + " has lost its memory: its storage was resized to less than the tensor spans; give it its "
                               "values again before the call";
}

// The strides that are read in place; an argument with others is copied. dense: contiguous. rows: each row is contiguous.
// spread: each row is contiguous or one value (stride 0). made: contiguous and made by a walk, so never a negated view.
enum class Layout { dense, rows, spread, made };

// A tensor that is read, or None. It keeps the tensor, or its copy, alive.
struct Argument {
    nb::object held;
    View view, given;  // of what is held; of the tensor itself, which differs where a copy is held
    Place place;       // of the tensor itself

    Argument() : held(nb::none()) {}
    Argument(const char* name, nb::handle t, nb::handle like, int bits, const Shape& shape, Layout layout = Layout::dense)
        : held(nb::borrow(t)) {
        if (t.is_none()) return;
        view = given = View(t);
        if (view.bits() != bits || !shape.fits(view)) refuse(name, t, shape, like);
        place = Place(t, view);
        if (!place.is_whole) throw std::invalid_argument(lost_memory(name));
        if (!may_stay(layout)) replace(torch().contiguous.call(held));
        if (layout != Layout::made && torch().is_neg.returns_true(held)) replace(torch().resolve_neg.call(held));
    }
    template <class S>
    S* data() const { return is_there() ? reinterpret_cast<S*>(view.address()) : nullptr; }
    bool is_there() const { return !held.is_none(); }

   private:
    bool may_stay(Layout layout) const {
        if (layout == Layout::dense || layout == Layout::made) return view.is_contiguous();
        const Index unit = view.strides[view.dimensions - 1];
        return unit == 1 || (unit == 0 && layout == Layout::spread);
    }
    void replace(nb::object other) { held = std::move(other), view = View(held); }
};

// The rows of each step of a packed walk: at least one each, not increasing, N in all; empty for None.
inline std::vector<Index> checked_sizes(nb::handle sizes, Index N) {
    std::vector<Index> found;
    if (sizes.is_none()) return found;
    Index sum = 0;
    for (nb::handle size : sizes) {
        const Index rows = nb::cast<Index>(size);
        require(rows >= 1, "batch_sizes must each be at least 1");
        require(found.empty() || rows <= found.back(), "batch_sizes must not increase: the longest sequences come first");
        require(rows <= N - sum, "batch_sizes sum to more than x has rows");
        sum += rows;
        found.push_back(rows);
    }
    require(!found.empty(), "batch_sizes is empty: a walk has at least one step");
    require(sum == N, "batch_sizes sum to less than x has rows");
    return found;
}

// The rows of a sweep that have an error, at each step; empty for None.
inline std::vector<Index> checked_active(nb::handle active, Index T, Index B) {
    std::vector<Index> found;
    if (active.is_none()) return found;
    for (nb::handle reached : active) {
        const Index rows = nb::cast<Index>(reached);
        require(rows >= 0 && rows <= (found.empty() ? B : found.back()), "active rows must lie in 0..B and not increase");
        found.push_back(rows);
    }
    require(static_cast<Index>(found.size()) == T, "active must have one number a step");
    return found;
}

}  // namespace bptt
