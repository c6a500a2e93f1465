// torch's tensors as Python shows them: their attributes and methods, no header of torch's and no version tied to.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <initializer_list>
#include <stdexcept>

namespace bptt {

namespace nb = nanobind;
using Index = std::int64_t;

inline nb::object owned(PyObject* found) {
    if (found == nullptr) throw nb::python_error();
    return nb::steal(found);
}

inline nb::handle item(nb::handle tuple, Py_ssize_t i) { return PyTuple_GET_ITEM(tuple.ptr(), i); }

// An attribute's or method's name, made once.
struct Name {
    PyObject* text;
    explicit Name(const char* name) : text(PyUnicode_InternFromString(name)) {}
    nb::object of(nb::handle t) const { return owned(PyObject_GetAttr(t.ptr(), text)); }
    nb::object call(nb::handle t) const { return owned(PyObject_CallMethodNoArgs(t.ptr(), text)); }
    nb::object call(nb::handle t, nb::handle argument) const {
        return owned(PyObject_CallMethodOneArg(t.ptr(), text, argument.ptr()));
    }
    bool holds(nb::handle t) const { return of(t).ptr() == Py_True; }
    bool says(nb::handle t) const { return call(t).ptr() == Py_True; }
};

// What is looked up in torch once.
struct Torch {
    nb::object Tensor, Parameter, float32, float64, empty_like;
    Name data_ptr{"data_ptr"}, shape{"shape"}, stride{"stride"}, dtype{"dtype"}, is_cpu{"is_cpu"};
    Name requires_grad{"requires_grad"}, is_contiguous{"is_contiguous"}, contiguous{"contiguous"};
    Name is_neg{"is_neg"}, resolve_neg{"resolve_neg"}, new_empty{"new_empty"};
    Torch() {
        nb::module_ torch = nb::module_::import_("torch");
        Tensor = torch.attr("Tensor"), Parameter = torch.attr("nn").attr("Parameter");
        float32 = torch.attr("float32"), float64 = torch.attr("float64");
        empty_like = torch.attr("empty_like");
    }
};

inline const Torch& torch() {
    static const Torch* names = new Torch();  // never destroyed: Python may be gone by then
    return *names;
}

// The few numbers of a shape or of strides.
struct Sizes {
    static constexpr int most = 3;
    Index at[most] = {};
    int n = 0;
    Sizes() = default;
    explicit Sizes(nb::object tuple) : n(static_cast<int>(PyTuple_GET_SIZE(tuple.ptr()))) {
        if (n > most) throw std::invalid_argument("a tensor of more than three dimensions");
        for (int i = 0; i < n; ++i) at[i] = PyLong_AsLongLong(item(tuple, i).ptr());
    }
    bool operator==(std::initializer_list<Index> other) const {
        if (static_cast<int>(other.size()) != n) return false;
        for (int i = 0; i < n; ++i)
            if (at[i] != other.begin()[i]) return false;
        return true;
    }
};

inline Sizes shape_of(nb::handle t) { return Sizes(torch().shape.of(t)); }
inline Sizes strides_of(nb::handle t) { return Sizes(torch().stride.call(t)); }

inline std::uintptr_t address(nb::handle t) {
    return t.is_none() ? 0 : PyLong_AsUnsignedLongLong(torch().data_ptr.call(t).ptr());
}

// 32 or 64, or 0 for a dtype the kernels do not have.
inline int bits_of(nb::handle t) {
    nb::object dtype = torch().dtype.of(t);
    return dtype.is(torch().float32) ? 32 : dtype.is(torch().float64) ? 64 : 0;
}

// Whether it is a tensor itself and no subclass, in main memory.
inline bool is_plain(nb::handle t) {
    auto* type = reinterpret_cast<PyObject*>(Py_TYPE(t.ptr()));
    return (type == torch().Tensor.ptr() || type == torch().Parameter.ptr()) && torch().is_cpu.holds(t);
}

// t as its memory has it: contiguous, and not negated by a view. None stays None.
inline nb::object dense(nb::handle t) {
    if (t.is_none()) return nb::borrow(t);
    nb::object d = torch().is_contiguous.says(t) ? nb::borrow(t) : torch().contiguous.call(t);
    return torch().is_neg.says(d) ? torch().resolve_neg.call(d) : d;
}

// Rows whose elements stand next to each other, or on each other where `spread` allows it; else a copy.
inline nb::object readable(nb::handle rows, bool spread) {
    Sizes strides = strides_of(rows);
    Index unit = strides.at[strides.n - 1];
    nb::object r = unit == 1 || (spread && unit == 0) ? nb::borrow(rows) : torch().contiguous.call(rows);
    return torch().is_neg.says(r) ? torch().resolve_neg.call(r) : r;
}

// Uninitialised, of like's dtype.
inline nb::object empty(nb::handle like, std::initializer_list<Index> shape) {
    nb::object tuple = owned(PyTuple_New(shape.size()));
    Py_ssize_t i = 0;
    for (Index size : shape) PyTuple_SET_ITEM(tuple.ptr(), i++, owned(PyLong_FromLongLong(size)).release().ptr());
    return torch().new_empty.call(like, tuple);
}

inline nb::object empty_like(nb::handle t) {
    return owned(PyObject_CallOneArg(torch().empty_like.ptr(), t.ptr()));
}

}  // namespace bptt
