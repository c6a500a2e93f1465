// Every argument of a walk, checked before a pointer of it is read: the only place that does, for operators and modules.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "isa.h"
#include "tensors.h"

namespace bptt {

using Address = std::uintptr_t;

inline void require(bool fits, const char* what) {
    if (!fits) throw std::invalid_argument(what);
}

inline nb::handle tuple_of(nb::handle tuple, Py_ssize_t size, const char* what) {
    require(PyTuple_Check(tuple.ptr()) && PyTuple_GET_SIZE(tuple.ptr()) == size, what);
    return tuple;
}

// A str's characters.
inline std::string_view characters(nb::handle text) {
    Py_ssize_t size;
    const char* first = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
    if (first == nullptr) throw nb::python_error();
    return {first, static_cast<std::size_t>(size)};
}

// A cell as walks/cpu.py's Choices names it: (cell, activation, leak).
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
                                text(shape.tuple()) + (shape.or_more ? " or more, " : ", ") + text(torch().dtype.of(like)) + " in main memory is needed");
}

inline std::string lost_memory(const char* name) {
    return std::string(name) + " has lost its memory: its storage was resized to less than the tensor spans; give it its "
                               "values again before the call";
}

// How an argument's elements may stand. dense: one after the other. rows: those of a row do. spread: those of a row
// do, or they are all one. A copy is made of what stands otherwise. made: dense, and by a walk: no view that negates.
enum class Stands { dense, rows, spread, made };

// A tensor that is read, or None; held while it is.
struct Argument {
    nb::object held;
    View view, given;  // of what is held, and of the tensor itself where a copy is
    Place place;       // of the tensor itself

    Argument() : held(nb::none()) {}
    Argument(const char* name, nb::handle t, nb::handle like, int bits, const Shape& shape, Stands stands = Stands::dense)
        : held(nb::borrow(t)) {
        if (t.is_none()) return;
        view = given = View(t);
        if (view.bits() != bits || !shape.fits(view)) refuse(name, t, shape, like);
        place = Place(t, view);
        if (!place.is_whole)
            throw std::invalid_argument(lost_memory(name));
        if (!may_stay(stands)) replace(torch().contiguous.call(held));
        if (stands != Stands::made && torch().is_neg.says(held)) replace(torch().resolve_neg.call(held));
    }
    Address address() const { return held.is_none() ? 0 : view.address(); }
    bool is_there() const { return !held.is_none(); }

   private:
    bool may_stay(Stands stands) const {
        if (stands == Stands::dense || stands == Stands::made) return view.is_contiguous();
        const Index unit = view.strides[view.dimensions - 1];
        return unit == 1 || (unit == 0 && stands == Stands::spread);
    }
    void replace(nb::object other) { held = std::move(other), view = View(held); }
};

// Rows of each step of a packed walk: at least one, not increasing, N in all.
inline std::vector<Index> checked_sizes(nb::handle sizes, Index N) {
    std::vector<Index> all;
    if (sizes.is_none()) return all;
    Index sum = 0;
    for (nb::handle size : sizes) {
        const Index rows = nb::cast<Index>(size);
        require(rows >= 1, "batch_sizes must each be at least 1");
        require(all.empty() || rows <= all.back(), "batch_sizes must not increase: the longest sequences come first");
        require(rows <= N - sum, "batch_sizes sum to more than x has rows");
        sum += rows;
        all.push_back(rows);
    }
    require(!all.empty(), "batch_sizes is empty: a walk has at least one step");
    require(sum == N, "batch_sizes sum to less than x has rows");
    return all;
}

// Rows that an error of a sweep has reached, at each step.
inline std::vector<Index> checked_active(nb::handle active, Index T, Index B) {
    std::vector<Index> all;
    if (active.is_none()) return all;
    for (nb::handle reached : active) {
        const Index rows = nb::cast<Index>(reached);
        require(rows >= 0 && rows <= (all.empty() ? B : all.back()), "active rows must lie in 0..B and not increase");
        all.push_back(rows);
    }
    require(static_cast<Index>(all.size()) == T, "active must have one number a step");
    return all;
}

}  // namespace bptt
