// The table of kernels, compiled once for each instruction set; BPTT_ISA is its name.
#include "elman.h"
#include "gru.h"
#include "lstm.h"
#include "step.h"
#include "table.h"

namespace bptt {

namespace BPTT_ISA {
template <class Cell>
CellKernels kernels_of() {
    return {Cell::name,
            Cell::gates,
            Cell::keeps,
            Cell::has_c,
            Cell::reads_output,
            Cell::blocks == Cell::gates,
            forward<float, Cell>,
            backward<float, Cell>,
            forward<double, Cell>,
            backward<double, Cell>};
}
}  // namespace BPTT_ISA

#define BPTT_JOIN(a, b) a##b
#define BPTT_NAME(a, b) BPTT_JOIN(a, b)

const Table& BPTT_NAME(table_, BPTT_ISA)() {
    using namespace BPTT_ISA;
    static const Table table = {kernels_of<Elman>(), kernels_of<GRU>(), kernels_of<LSTM>()};
    return table;
}

}  // namespace bptt
