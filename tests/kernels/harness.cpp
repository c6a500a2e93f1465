// The kernels without Python: the walks of a file that cases.py wrote, and the largest errors beside torch.nn's float64
// results. Exits with 1 where one is larger than it may be.
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <map>
#include <string>
#include <vector>

#include "scratch.h"
#include "table.h"

using namespace bptt;
using Index = std::int64_t;
using Doubles = std::vector<double>;

namespace {

std::FILE* file;

template <class T>
std::vector<T> read(Index size) {
    std::vector<T> values(size);
    if (std::fread(values.data(), sizeof(T), size, file) == values.size()) return values;
    std::fprintf(stderr, "the file of cases ends early\n");
    std::exit(2);
}

Doubles read_array() { return read<double>(read<Index>(1)[0]); }

// Its fields in the order in which cases.py writes them.
struct Case {
    Index cell, activation, T, B, I, H, copies;
    double leak;
    std::vector<Index> batch_sizes, active;
    Doubles x, h0, c0, W_ih, W_hh, b_ih, b_hh, dy, dh_n, dc_n;               // inputs
    Doubles y, h_n, c_n, dx, dh0, dc0, dW_ih, dW_hh, db_ih, db_hh;           // results
    Doubles errors, last_errors, squares, products_ih, products_hh, swept_dx;  // of a sweep: two inputs, then results

    Case() {
        const std::vector<Index> sizes = read<Index>(8);
        cell = sizes[0], activation = sizes[1], T = sizes[2], B = sizes[3], I = sizes[4], H = sizes[5], copies = sizes[6];
        leak = read<double>(1)[0];
        batch_sizes = read<Index>(sizes[7]);
        for (Doubles* array : {&x, &h0, &c0, &W_ih, &W_hh, &b_ih, &b_hh, &dy, &dh_n, &dc_n, &y, &h_n, &c_n, &dx, &dh0, &dc0,
                               &dW_ih, &dW_hh, &db_ih, &db_hh, &errors, &last_errors})
            *array = read_array();
        for (double rows : read_array()) active.push_back(static_cast<Index>(rows));
        for (Doubles* array : {&squares, &products_ih, &products_hh, &swept_dx}) *array = read_array();
    }
};

// The largest error of an array, in units of its largest value; NaN in `wanted`: not compared.
template <class S>
double error(const std::vector<S>& found, const Doubles& wanted) {
    double worst = 0, scale = 1e-30;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        if (std::isnan(wanted[i])) continue;
        scale = std::max(scale, std::fabs(wanted[i]));
        const double e = std::fabs(static_cast<double>(found[i]) - wanted[i]);
        worst = std::isnan(e) ? INFINITY : std::max(worst, e);
    }
    return worst / scale;
}

// The walks of a case in one dtype, and their errors.
template <class S>
struct Walks {
    const Case& given;
    const CellKernels& cell;
    Call<S> call{};
    double worst = 0;
    std::vector<std::vector<S>> memory;

    Walks(const Case& given, const CellKernels& cell, int threads, bool deterministic) : given(given), cell(cell) {
        call.T = given.T, call.B = given.B, call.I = given.I, call.H = given.H;
        call.batch_sizes = given.batch_sizes.empty() ? nullptr : given.batch_sizes.data();
        call.x_step = given.B * given.I, call.x_row = given.I;
        call.activation = static_cast<int>(given.activation), call.leak = static_cast<S>(given.leak);
        call.threads = threads, call.deterministic = deterministic;
        call.x = input(given.x), call.h0 = input(given.h0), call.c0 = input(given.c0);
        call.W_ih = input(given.W_ih), call.W_hh = input(given.W_hh), call.b_ih = input(given.b_ih), call.b_hh = input(given.b_hh);
    }

    // A copy in S, null for an empty array.
    S* input(const Doubles& values) {
        memory.emplace_back(values.begin(), values.end());
        return values.empty() ? nullptr : memory.back().data();
    }

    // So many values, NaN until a kernel writes them.
    S* output(std::size_t size) {
        memory.emplace_back(size, S(NAN));
        return size == 0 ? nullptr : memory.back().data();
    }

    void compare(const S* found, const Doubles& wanted) {
        if (found == nullptr || wanted.empty()) return;
        for (const std::vector<S>& array : memory)
            if (array.data() == found) worst = std::max(worst, error(array, wanted));
    }

    void run(Kernel<float> k32, Kernel<double> k64) {
        if constexpr (sizeof(S) == 4)
            k32(call);
        else
            k64(call);
    }

    void forward(bool keep) {
        const std::size_t states = given.y.size();
        const bool keeps = keep && !(cell.reads_output && given.leak == 1 && given.activation != GELU);
        call.y = output(states), call.c = output(cell.has_c && keep ? states : 0);
        call.kept = output(keeps ? states * cell.keeps : 0);
        call.h_n = output(given.h_n.size()), call.c_n = output(given.c_n.size());
        run(cell.forward32, cell.forward64);
        compare(call.y, given.y), compare(call.h_n, given.h_n), compare(call.c_n, given.c_n);
    }

    void backward() {
        call.dy = input(given.dy), call.dy_step = given.B * given.H, call.dy_row = given.H, call.dy_unit = 1;
        call.dh_final = input(given.dh_n), call.dc_final = input(given.dc_n);
        S** const to[] = {&call.dx, &call.dh0, &call.dc0, &call.dW_ih, &call.dW_hh, &call.db_ih, &call.db_hh};
        const Doubles* const wanted[] = {&given.dx,    &given.dh0,   &given.dc0,  &given.dW_ih,
                                         &given.dW_hh, &given.db_ih, &given.db_hh};
        for (int i = 0; i < 7; ++i) *to[i] = output(wanted[i]->size());
        run(cell.backward32, cell.backward64);
        for (int i = 0; i < 7; ++i) compare(*to[i], *wanted[i]);
        for (S** gradient : to) *gradient = nullptr;
    }

    // The case's errors through the walk of `forward`.
    void sweep() {
        call.shared = given.B, call.B = given.copies * given.B, call.active = given.active.data();
        call.dy = input(given.errors), call.dy_step = call.B * given.H;
        call.dh_final = input(given.last_errors), call.dc_final = nullptr;
        call.dx = output(given.swept_dx.size());
        call.squares = output(given.squares.size()), call.products_hh = output(given.products_hh.size());
        call.products_ih = output(cell.one_delta ? 0 : given.products_ih.size());
        run(cell.backward32, cell.backward64);
        compare(call.dx, given.swept_dx), compare(call.squares, given.squares);
        compare(call.products_ih, given.products_ih), compare(call.products_hh, given.products_hh);
    }
};

template <class S>
double worst_error(const Case& given, const CellKernels& cell) {
    double worst = 0;
    for (int threads : {1, 3})
        for (bool deterministic : {false, true}) {
            Walks<S> walks(given, cell, threads, deterministic);
            walks.forward(false), walks.forward(true), walks.backward();
            if (given.copies > 0) walks.sweep();
            worst = std::max(worst, walks.worst);
        }
    return worst;
}

}  // namespace

int main(int, char** arguments) {
    constexpr double allowed32 = 1e-5, allowed64 = 1e-13;
    file = std::fopen(arguments[1], "rb");
    if (file == nullptr) return std::perror(arguments[1]), 2;
    struct Row {
        int cases = 0;
        double worst32 = 0, worst64 = 0;
    };
    std::map<std::string, Row> rows;
    for (Index left = read<Index>(1)[0]; left > 0; --left) {
        const Case given;
        const CellKernels& cell = table_portable()[given.cell];
        std::string name = cell.name;
        if (given.cell == 0) name += std::string(given.leak == 1 ? " " : " leaky ") + activation_names[given.activation];
        if (given.copies > 0) name += ", sweep";
        if (!given.batch_sizes.empty()) name += ", packed";
        Row& row = rows[name];
        ++row.cases;
        row.worst32 = std::max(row.worst32, worst_error<float>(given, cell));
        row.worst64 = std::max(row.worst64, worst_error<double>(given, cell));
    }
    bool fits = Scratch::held == 0;
    if (!fits) std::printf("%lld bytes were not given back\n", static_cast<long long>(Scratch::held));
    std::printf("%-30s %5s %9s %9s\n", "largest relative error of", "cases", "float32", "float64");
    for (const auto& [name, row] : rows) {
        std::printf("%-30s %5d %9.1e %9.1e\n", name.c_str(), row.cases, row.worst32, row.worst64);
        fits = fits && row.worst32 <= allowed32 && row.worst64 <= allowed64;
    }
    return fits ? 0 : 1;
}
