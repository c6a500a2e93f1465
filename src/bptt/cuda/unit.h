// One unit of one row, as the cells' equations see it.
#pragma once

namespace bptt_cuda {

struct State {  // or its adjoint
    float h, c;
};
struct Recorded {  // a step's values, of the forward pass
    float h, h_prev, c, c_prev;
    float kept[4];
};

}  // namespace bptt_cuda
