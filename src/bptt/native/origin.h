// The weights as the forward walk read them, for its backward pass. `w.data = ...` and `Module.half()` give a variable other
// memory without changing its version; the storage of the forward walk is kept alive here.
#pragma once

#include <algorithm>
#include <cstring>

#include "arguments.h"

namespace bptt {

constexpr int n_weights = 4;  // W_ih, W_hh, b_ih, b_hh

// One weight's memory, version, shape and strides.
struct WeightView {
    Address address, offset;
    int bits, dimensions;
    Index version, shape[2], strides[2];

    WeightView() = default;
    WeightView(nb::handle t, const View& view, Address offset) : WeightView{} {
        address = view.address(), this->offset = offset, bits = view.bits();
        dimensions = view.dimensions, version = version_of(t);
        std::copy_n(view.shape, dimensions, shape), std::copy_n(view.strides, dimensions, strides);
    }
    static Index version_of(nb::handle t) { return nb::cast<Index>(torch().version.of(t)); }
    // Where its last element ends in the storage, in bytes.
    Address end() const { return offset + span_of(dimensions, shape, strides, bits); }
    bool equals(const View& v) const {
        return address == v.address() && bits == v.bits() && dimensions == v.dimensions &&
               std::equal(shape, shape + dimensions, v.shape) && std::equal(strides, strides + dimensions, v.strides);
    }
};

// (storage of each weight, their WeightViews as bytes).
inline nb::object origin_of(const Argument* const (&read)[n_weights], nb::handle operands) {
    WeightView views[n_weights];
    nb::object storages = owned(PyTuple_New(n_weights));
    for (int i = 0; i < n_weights; ++i) {
        const Argument& a = *read[i];
        views[i] = a.is_there() ? WeightView(item(operands, 3 + i), a.given, a.place.offset) : WeightView{};
        PyTuple_SET_ITEM(storages.ptr(), i, nb::object(a.place.storage).release().ptr());
    }
    return nb::make_tuple(storages, nb::bytes(views, sizeof views));
}

// What `origin_of` returned, read.
class Origin {
    nb::handle storages;
    WeightView views[n_weights];

   public:
    explicit Origin(nb::handle origin) : storages(item(tuple_of(origin, 2, "an origin is a pair"), 0)) {
        std::memcpy(views, PyBytes_AS_STRING(item(origin, 1).ptr()), sizeof views);
    }

    // Whether t is still the memory that the walk read as weight i. Raises where it was changed in place.
    bool matches(int i, nb::handle t) const {
        if (t.is_none()) return true;
        if (WeightView::version_of(t) != views[i].version)
            throw std::runtime_error(
                "a weight was changed in place after the forward pass (it has been modified by an inplace operation), and "
                "these gradients need it as it was; change it after the backward pass, or clone it before");
        View view;
        return view.read(t) && views[i].equals(view) && torch().storage.call(t).is(item(storages, i));
    }

    // Weight i as a tensor of the memory that the walk read.
    nb::object restored(int i) const {
        const WeightView& then = views[i];
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

// The weights as the forward walk read them; `weights` itself where nothing changed.
inline nb::object as_walked(nb::handle origin, nb::handle weights) {
    const Origin then(origin);
    tuple_of(weights, n_weights, "the weights are W_ih, W_hh, b_ih, b_hh");
    nb::object found = nb::borrow(weights), each[n_weights];
    for (int i = 0; i < n_weights; ++i) each[i] = nb::borrow(item(weights, i));
    for (int i = 0; i < n_weights; ++i)
        if (!then.matches(i, each[i])) each[i] = then.restored(i), found = nb::none();
    return found.is_none() ? nb::make_tuple(each[0], each[1], each[2], each[3]) : found;
}

}  // namespace bptt
