// torch's tensors from outside: read through DLPack's C exchange table, made and copied by their Python methods; no
// header of torch's, so that no version is tied to.
#pragma once

#include <nanobind/nanobind.h>

#include <algorithm>
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

// DLPack 1.3: a tensor without an owner, and the table a type offers as __dlpack_c_exchange_api__.
struct DLTensor {
    void* data;
    struct {
        std::int32_t type, id;
    } device;
    std::int32_t dimensions;
    struct {
        std::uint8_t code, bits;
        std::uint16_t lanes;
    } dtype;
    std::int64_t *shape, *strides;
    std::uint64_t byte_offset;
};
struct DLPackExchange {
    struct {
        std::uint32_t major, minor;
    } version;
    void *previous, *allocate, *from_object, *to_object;
    int (*view)(void* object, DLTensor* out);
};

// What is looked up in torch once.
struct Torch {
    nb::object Tensor, Parameter, empty_like;
    const DLPackExchange* exchange;
    Name requires_grad{"requires_grad"}, contiguous{"contiguous"}, is_neg{"is_neg"}, resolve_neg{"resolve_neg"};
    Name new_empty{"new_empty"};
    Torch() {
        nb::module_ torch = nb::module_::import_("torch");
        Tensor = torch.attr("Tensor"), Parameter = torch.attr("nn").attr("Parameter");
        empty_like = torch.attr("empty_like");
        if (!nb::hasattr(Tensor, "__dlpack_c_exchange_api__"))
            throw nb::import_error("this torch has no DLPack exchange table");
        nb::object capsule = Tensor.attr("__dlpack_c_exchange_api__");
        void* table = PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api");
        if (table == nullptr) throw nb::python_error();
        exchange = static_cast<const DLPackExchange*>(table);
        if (exchange->version.major != 1) throw nb::import_error("torch speaks another DLPack than version 1");
    }
    bool has_type(nb::handle t) const {  // of a tensor itself and no subclass
        auto* type = reinterpret_cast<PyObject*>(Py_TYPE(t.ptr()));
        return type == Tensor.ptr() || type == Parameter.ptr();
    }
};

inline const Torch& torch() {
    static const Torch* names = new Torch();  // never destroyed: Python may be gone by then
    return *names;
}

// A tensor that DLPack has no words for: of the meta device, sparse.
struct Unreadable : std::invalid_argument {
    using std::invalid_argument::invalid_argument;
};

// What a tensor is, while it lives.
struct View : DLTensor {
    explicit View(nb::handle t) {
        if (torch().exchange->view(t.ptr(), this) == 0) return;
        nb::python_error why;
        throw Unreadable(why.what());
    }
    std::uintptr_t address() const { return reinterpret_cast<std::uintptr_t>(data) + byte_offset; }
    // 32 or 64; 0 for what the kernels do not take: another dtype, another device.
    int bits() const {
        bool fits = dtype.code == 2 && dtype.lanes == 1 && (dtype.bits == 32 || dtype.bits == 64) && device.type == 1;
        return fits ? dtype.bits : 0;
    }
    bool has_shape(std::initializer_list<Index> other) const {
        return dimensions == static_cast<int>(other.size()) && std::equal(other.begin(), other.end(), shape);
    }
    bool is_contiguous() const {
        Index expected = 1;
        for (int i = dimensions - 1; i >= 0; expected *= shape[i--])
            if (shape[i] != 1 && strides[i] != expected) return false;
        return true;
    }
};

inline std::uintptr_t address(nb::handle t) { return t.is_none() ? 0 : View(t).address(); }

// t as its memory has it: contiguous, and not negated by a view. None stays None.
inline nb::object dense(nb::handle t) {
    if (t.is_none()) return nb::borrow(t);
    nb::object d = View(t).is_contiguous() ? nb::borrow(t) : torch().contiguous.call(t);
    return torch().is_neg.says(d) ? torch().resolve_neg.call(d) : d;
}

// Rows whose elements stand next to each other, or on each other where `spread` allows it; else a copy.
inline nb::object readable(nb::handle rows, bool spread) {
    View view(rows);
    Index unit = view.strides[view.dimensions - 1];
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


inline nb::object empty_contiguous_like(nb::handle t) {
    const View view(t);
    if (view.is_contiguous()) return empty_like(t);
    return view.dimensions == 1 ? empty(t, {view.shape[0]}) : empty(t, {view.shape[0], view.shape[1]});
}

}  // namespace bptt
