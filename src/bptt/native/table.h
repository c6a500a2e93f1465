// The kernels of one instruction set, as functions of a layer.
#pragma once

#include <cstdint>

namespace bptt {

template <class S>
struct Layer;

struct Table {
    void (*forward32[3])(const Layer<float>&);  // by cell: Elman, GRU, LSTM
    void (*backward32[3])(const Layer<float>&);
    void (*forward64[3])(const Layer<double>&);
    void (*backward64[3])(const Layer<double>&);
};

const Table& table_portable();
#if defined(BPTT_X86)
const Table& table_avx2();
const Table& table_avx512();
#endif

}  // namespace bptt
