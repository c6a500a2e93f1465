// The weights as a walk found them, for its way back, whatever becomes of the variables in between: `w.data = ...` and
// `Module.half()` give a variable other memory and leave its version; the storage that is held here stays.
#pragma once

#include <algorithm>
#include <cstring>

#include "arguments.h"

namespace bptt {

constexpr int n_weights = 4;  // W_ih, W_hh, b_ih, b_hh

// One weight's place, its storage aside.
struct Standing {
    Address address, offset;
    int bits, dimensions;
    Index version, shape[2], strides[2];

    Standing() = default;
    Standing(nb::handle t, const View& view, Address offset) : Standing{} {
        address = view.address(), this->offset = offset, bits = view.bits(), dimensions = view.dimensions, version = version_of(t);
        std::copy_n(view.shape, dimensions, shape), std::copy_n(view.strides, dimensions, strides);
    }
    static Index version_of(nb::handle t) { return nb::cast<Index>(torch().version.of(t)); }
    // How many bytes of the storage it takes up to its last element.
    Address end() const {
        Address last = 0;
        for (int i = 0; i < dimensions; ++i) last += static_cast<Address>(shape[i] - 1) * strides[i];
        return offset + (last + 1) * bits / 8;
    }
    bool is_that_of(const View& v) const {
        return address == v.address() && bits == v.bits() && dimensions == v.dimensions &&
               std::equal(shape, shape + dimensions, v.shape) && std::equal(strides, strides + dimensions, v.strides);
    }
};

// (storage of each, standing of each as bytes); `weights` are the variables.
inline nb::object origin_of(const Argument* const (&read)[n_weights], nb::handle operands) {
    Standing standings[n_weights];
    nb::object storages = owned(PyTuple_New(n_weights));
    for (int i = 0; i < n_weights; ++i) {
        const Argument& a = *read[i];
        standings[i] = a.is_there() ? Standing(item(operands, 3 + i), a.given, a.place.offset) : Standing{};
        PyTuple_SET_ITEM(storages.ptr(), i, nb::object(a.place.storage).release().ptr());
    }
    return nb::make_tuple(storages, nb::bytes(standings, sizeof standings));
}

// The weights as a walk's origin has them.
class Origin {
    nb::handle storages;
    Standing standings[n_weights];

   public:
    explicit Origin(nb::handle origin) : storages(item(tuple_of(origin, 2, "an origin is a pair"), 0)) {
        std::memcpy(standings, PyBytes_AS_STRING(item(origin, 1).ptr()), sizeof standings);
    }

    // Whether weight i, read as t, is still what was walked. Raises where it was changed in place.
    bool is(int i, nb::handle t) const {
        if (t.is_none()) return true;
        if (Standing::version_of(t) != standings[i].version)
            throw std::runtime_error(
                "a weight was changed in place after the forward pass (it has been modified by an inplace operation), and "
                "these gradients need it as it was; change it after the backward pass, or clone it before");
        View view;
        return view.of(t) && standings[i].is_that_of(view) && torch().storage.call(t).is(item(storages, i));
    }

    nb::object walked(int i) const {
        const Standing& then = standings[i];
        if (then.end() > static_cast<Address>(PyObject_Size(item(storages, i).ptr())))  // `set_` would make it larger
            throw std::invalid_argument(lost_memory("a weight"));
        nb::module_ module = nb::module_::import_("torch");
        nb::object dtype = module.attr(then.bits == 32 ? "float32" : "float64");
        nb::object empty = module.attr("empty")(0, nb::arg("dtype") = dtype, nb::arg("device") = "cpu");
        const Shape shape{{then.shape[0], then.shape[1]}, then.dimensions};
        const Shape strides{{then.strides[0], then.strides[1]}, then.dimensions};
        return empty.attr("set_")(item(storages, i), then.offset * 8 / then.bits, shape.tuple(), strides.tuple());
    }
};

// The weights as they were walked: `weights` itself where they are still that.
inline nb::object as_walked(nb::handle origin, nb::handle weights) {
    const Origin then(origin);
    tuple_of(weights, n_weights, "the weights are W_ih, W_hh, b_ih, b_hh");
    nb::object found = nb::borrow(weights), each[n_weights];
    for (int i = 0; i < n_weights; ++i) each[i] = nb::borrow(item(weights, i));
    for (int i = 0; i < n_weights; ++i)
        if (!then.is(i, each[i])) each[i] = then.walked(i), found = nb::none();
    return found.is_none() ? nb::make_tuple(each[0], each[1], each[2], each[3]) : found;
}

}  // namespace bptt
