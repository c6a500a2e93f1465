// What a cell supplies to the walks: the elementwise part, `finish` and `adjoint`, and what they read and write.
//
// A cell's properties beside those in table.h:
//   vectors          vectors of units that `finish` takes at a time; gates * vectors accumulators must fit the registers
//   separate_gate    the gate whose input part and recurrent part `finish` adds itself, -1 for none
//   blocks           blocks of H columns of delta: the gates, and one more where delta differs for W_ih and W_hh
//   recurrent_block  where the `gates` blocks for W_hh begin; those for W_ih begin at 0
//   input_order      the gates that the blocks for W_ih belong to
#pragma once

#include "call.h"
#include "vec.h"

namespace bptt::BPTT_ISA {

using Index = std::int64_t;

// A vector of one row's units: what a cell's elementwise part reads and writes there.
template <class S>
struct ForwardUnits {
    Index lanes_left;  // units from here to H
    const S *h_prev, *c_prev;
    S *y, *c, *kept;  // kept: its gates H apart; null where nothing is kept
};

// The same in the backward pass. `delta` has the cell's blocks H apart; dh and dc are the adjoints of the state after the
// step when `adjoint` reads them; it leaves what flows to the state before the step other than through W_hh.
template <class S>
struct BackwardUnits {
    Index lanes_left;  // units from here to H
    const S *h_prev, *c_prev, *y, *c, *kept;
    S *dh, *dc, *delta;
    V<S> dy;
};

}  // namespace bptt::BPTT_ISA
