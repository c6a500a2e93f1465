// Compiled once for each instruction set, BPTT_ISA being its name.
#include "elman.h"
#include "gru.h"
#include "lstm.h"
#include "table.h"

namespace bptt {

#define BPTT_JOIN(a, b) a##b
#define BPTT_NAME(a, b) BPTT_JOIN(a, b)

const Table& BPTT_NAME(table_, BPTT_ISA)() {
    using namespace BPTT_ISA;
    static const Table table = {
        {forward<float, Elman>, forward<float, GRU>, forward<float, LSTM>},
        {backward<float, Elman>, backward<float, GRU>, backward<float, LSTM>},
        {forward<double, Elman>, forward<double, GRU>, forward<double, LSTM>},
        {backward<double, Elman>, backward<double, GRU>, backward<double, LSTM>},
    };
    return table;
}

}  // namespace bptt
