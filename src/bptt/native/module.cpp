// The door from Python: addresses and sizes in, the kernels of the best instruction set this machine has behind it.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "layer.h"
#include "table.h"

namespace nb = nanobind;

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

// What forward and backward read alike.
struct Shared {
    int cell, bits;
    std::int64_t T, B, I, H;
    Address batch_sizes, x;
    std::int64_t x_step, x_row;
    Address h0, c0, W_ih, W_hh, b_ih, b_hh, y, c, kept;
    int activation;
    double leak;
    int threads;
};

template <class S>
Layer<S> layer_of(const Shared& s) {
    Layer<S> a{};
    a.T = s.T, a.B = s.B, a.I = s.I, a.H = s.H;
    a.batch_sizes = at<const std::int64_t>(s.batch_sizes);
    a.x = at<const S>(s.x), a.x_step = s.x_step, a.x_row = s.x_row;
    a.h0 = at<const S>(s.h0), a.c0 = at<const S>(s.c0);
    a.W_ih = at<const S>(s.W_ih), a.W_hh = at<const S>(s.W_hh);
    a.b_ih = at<const S>(s.b_ih), a.b_hh = at<const S>(s.b_hh);
    a.y = at<S>(s.y), a.c = at<S>(s.c), a.kept = at<S>(s.kept);
    a.activation = s.activation, a.leak = static_cast<S>(s.leak), a.threads = s.threads;
    return a;
}

struct Adjoints {
    Address dy;
    std::int64_t dy_step, dy_row, dy_unit;
    Address dh_final, dc_final, dx, dh0, dc0, dW_ih, dW_hh, db_ih, db_hh;
};

template <class S>
Layer<S> layer_of(const Shared& s, const Adjoints& d) {
    Layer<S> a = layer_of<S>(s);
    a.dy = at<const S>(d.dy), a.dy_step = d.dy_step, a.dy_row = d.dy_row, a.dy_unit = d.dy_unit;
    a.dh_final = at<const S>(d.dh_final), a.dc_final = at<const S>(d.dc_final);
    a.dx = at<S>(d.dx), a.dh0 = at<S>(d.dh0), a.dc0 = at<S>(d.dc0);
    a.dW_ih = at<S>(d.dW_ih), a.dW_hh = at<S>(d.dW_hh), a.db_ih = at<S>(d.db_ih), a.db_hh = at<S>(d.db_hh);
    return a;
}

}  // namespace
}  // namespace bptt

#define SHARED_NAMES                                                                                                  \
    nb::arg("cell"), nb::arg("bits"), nb::arg("T"), nb::arg("B"), nb::arg("I"), nb::arg("H"), nb::arg("batch_sizes"), \
        nb::arg("x"), nb::arg("x_step"), nb::arg("x_row"), nb::arg("h0"), nb::arg("c0"), nb::arg("W_ih"),             \
        nb::arg("W_hh"), nb::arg("b_ih"), nb::arg("b_hh"), nb::arg("y"), nb::arg("c"), nb::arg("kept"),               \
        nb::arg("activation"), nb::arg("leak"), nb::arg("threads")
#define SHARED_TYPES                                                                                                 \
    int cell, int bits, std::int64_t T, std::int64_t B, std::int64_t I, std::int64_t H, Address batch_sizes,         \
        Address x, std::int64_t x_step, std::int64_t x_row, Address h0, Address c0, Address W_ih, Address W_hh,      \
        Address b_ih, Address b_hh, Address y, Address c, Address kept, int activation, double leak, int threads
#define SHARED                                                                                                       \
    Shared { cell, bits, T, B, I, H, batch_sizes, x, x_step, x_row, h0, c0, W_ih, W_hh, b_ih, b_hh, y, c, kept,      \
             activation, leak, threads }

NB_MODULE(_native, m) {
    using namespace bptt;
    m.def("isa", [] { return chosen().name; });
    m.def(
        "forward",
        [](SHARED_TYPES) {
            Shared s = SHARED;
            const Table& table = *chosen().table;
            nb::gil_scoped_release release;
            bits == 32 ? table.forward32[cell](layer_of<float>(s)) : table.forward64[cell](layer_of<double>(s));
        },
        SHARED_NAMES);
    m.def(
        "backward",
        [](SHARED_TYPES, Address dy, std::int64_t dy_step, std::int64_t dy_row, std::int64_t dy_unit, Address dh_final,
           Address dc_final, Address dx, Address dh0, Address dc0, Address dW_ih, Address dW_hh, Address db_ih,
           Address db_hh) {
            Shared s = SHARED;
            Adjoints d{dy, dy_step, dy_row, dy_unit, dh_final, dc_final, dx, dh0, dc0, dW_ih, dW_hh, db_ih, db_hh};
            const Table& table = *chosen().table;
            nb::gil_scoped_release release;
            bits == 32 ? table.backward32[cell](layer_of<float>(s, d)) : table.backward64[cell](layer_of<double>(s, d));
        },
        SHARED_NAMES, nb::arg("dy"), nb::arg("dy_step"), nb::arg("dy_row"), nb::arg("dy_unit"), nb::arg("dh_final"),
        nb::arg("dc_final"), nb::arg("dx"), nb::arg("dh0"), nb::arg("dc0"), nb::arg("dW_ih"), nb::arg("dW_hh"),
        nb::arg("db_ih"), nb::arg("db_hh"));
}
