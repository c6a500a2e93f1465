// torch's tensors, read through DLPack's C exchange table, created and copied by their Python methods. No header of torch is
// used, so the library fits every version.
#pragma once

#include <nanobind/nanobind.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <stdexcept>

#include "scratch.h"

namespace bptt {

namespace nb = nanobind;
using Index = std::int64_t;

inline nb::object owned(PyObject* found) {
    if (found == nullptr) throw nb::python_error();
    return nb::steal(found);
}

inline nb::handle item(nb::handle tuple, Py_ssize_t i) { return PyTuple_GET_ITEM(tuple.ptr(), i); }

// An attribute or method of a Python object, by its name as an interned str.
struct Attribute {
    PyObject* text;
    explicit Attribute(const char* name) : text(PyUnicode_InternFromString(name)) {}
    nb::object of(nb::handle t) const { return owned(PyObject_GetAttr(t.ptr(), text)); }
    nb::object call(nb::handle t) const { return owned(PyObject_CallMethodNoArgs(t.ptr(), text)); }
    bool is_true(nb::handle t) const { return of(t).ptr() == Py_True; }
    bool returns_true(nb::handle t) const { return call(t).ptr() == Py_True; }
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

// Everything of torch's that is used, looked up once.
struct Torch {
    nb::object Tensor, Parameter, Base, empty_like;
    const DLPackExchange* exchange;
    Attribute requires_grad{"requires_grad"}, contiguous{"contiguous"}, is_neg{"is_neg"}, resolve_neg{"resolve_neg"};
    Attribute new_empty{"new_empty"}, storage{"untyped_storage"}, data_ptr{"data_ptr"};
    Attribute dtype{"dtype"}, shape{"shape"}, version{"_version"};
    Torch() {
        nb::module_ torch = nb::module_::import_("torch");
        Tensor = torch.attr("Tensor"), Parameter = torch.attr("nn").attr("Parameter");
        Base = torch.attr("_C").attr("TensorBase"), empty_like = torch.attr("empty_like");
        if (!nb::hasattr(Tensor, "__dlpack_c_exchange_api__"))
            throw nb::import_error("this torch has no DLPack exchange table");
        nb::object capsule = Tensor.attr("__dlpack_c_exchange_api__");
        void* table = PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api");
        if (table == nullptr) throw nb::python_error();
        exchange = static_cast<const DLPackExchange*>(table);
        if (exchange->version.major != 1) throw nb::import_error("torch's DLPack exchange table is not of version 1");
    }
    bool has_type(nb::handle t) const {  // Tensor or Parameter, no subclass
        auto* type = reinterpret_cast<PyObject*>(Py_TYPE(t.ptr()));
        return type == Tensor.ptr() || type == Parameter.ptr();
    }
    bool is_tensor(nb::handle t) const {
        return has_type(t) || PyType_IsSubtype(Py_TYPE(t.ptr()), reinterpret_cast<PyTypeObject*>(Base.ptr()));
    }
};

inline const Torch& torch() {
    static const Torch* found = new Torch();  // never destroyed: Python may have ended by then
    return *found;
}

// How many bytes there are from the first element to the end of the last.
inline std::uintptr_t span_of(int dimensions, const Index* shape, const Index* strides, int bits) {
    std::uintptr_t last = 0;
    for (int i = 0; i < dimensions; ++i) {
        if (shape[i] == 0) return 0;
        last += static_cast<std::uintptr_t>(shape[i] - 1) * static_cast<std::uintptr_t>(strides[i]);
    }
    return (last + 1) * (bits / 8);
}

// A tensor's memory, dtype, shape and strides; valid while the tensor lives.
struct View : DLTensor {
    View() : DLTensor{} {}
    explicit View(nb::handle t) : DLTensor{} {
        if (!torch().is_tensor(t)) throw nb::type_error("a walk takes torch.Tensors");
        if (torch().exchange->view(t.ptr(), this) == 0) return;
        nb::python_error why;
        throw std::invalid_argument(why.what());
    }
    // Read t and return true; false for a tensor that DLPack cannot describe, on the meta device or sparse.
    bool read(nb::handle t) {
        if (torch().exchange->view(t.ptr(), this) == 0) return true;
        PyErr_Clear();
        return false;
    }
    std::uintptr_t address() const { return reinterpret_cast<std::uintptr_t>(data) + byte_offset; }
    // 32 or 64; 0 for a dtype or device that the kernels do not take.
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
    std::uintptr_t span() const { return span_of(dimensions, shape, strides, dtype.bits); }
};

// A tensor's offset in its storage, and whether the storage, which may have been resized, still holds all of the tensor.
struct Place {
    nb::object storage;
    std::uintptr_t offset = 0;  // bytes
    bool is_whole = true;
    Place() : storage(nb::none()) {}
    Place(nb::handle t, const View& view) : storage(torch().storage.call(t)) {
        const std::uintptr_t span = view.span();
        if (span == 0) return;
        const Py_ssize_t size = PyObject_Size(storage.ptr());  // bytes
        nb::object start = torch().data_ptr.call(storage);
        offset = view.address() - PyLong_AsSize_t(start.ptr());
        if (PyErr_Occurred()) throw nb::python_error();
        is_whole = span <= static_cast<std::size_t>(size) && offset <= size - span;
    }
};

// A required shape. `of_module`: a state may have a module's shape, with a 1 in front. `or_more`: there may be more steps; a
// sweep reads the first ones.
struct Shape {
    Index sizes[4];
    int dimensions;
    bool of_module = false, or_more = false;
    bool fits(const View& v) const {
        const int extra = v.dimensions - dimensions;
        if (extra != 0 && !(of_module && extra == 1 && v.shape[0] == 1)) return false;
        for (int i = 0; i < dimensions; ++i)
            if (v.shape[i + extra] != sizes[i] && !(or_more && i == 0 && v.shape[0] > sizes[0])) return false;
        return true;
    }
    nb::object tuple() const {
        nb::object found = owned(PyTuple_New(dimensions));
        for (int i = 0; i < dimensions; ++i)
            PyTuple_SET_ITEM(found.ptr(), i, owned(PyLong_FromLongLong(sizes[i])).release().ptr());
        return found;
    }
};

// A tensor that was just created, in large pages where it is large.
inline nb::object in_large_pages(nb::object made) {
    const View view(made);
    prefer_large_pages(reinterpret_cast<void*>(view.address()), static_cast<Index>(view.span()));
    return made;
}

// Uninitialised, of like's dtype. torch reads sizes given one by one faster than a tuple of them.
inline nb::object empty(nb::handle like, const Shape& shape) {
    nb::object sizes = shape.tuple();
    PyObject* arguments[5] = {like.ptr()};
    std::copy_n(PySequence_Fast_ITEMS(sizes.ptr()), shape.dimensions, arguments + 1);
    return in_large_pages(owned(PyObject_VectorcallMethod(torch().new_empty.text, arguments, 1 + shape.dimensions, nullptr)));
}

inline nb::object empty_like(nb::handle t) {
    return in_large_pages(owned(PyObject_CallOneArg(torch().empty_like.ptr(), t.ptr())));
}

}  // namespace bptt
