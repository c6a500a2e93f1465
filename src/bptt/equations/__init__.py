"""The mathematics of one time step and of its adjoint, in plain torch operations, one file per cell.

In come x_t, the state and the weights; out come the next state and, in the backward pass, `delta`, the gradient
with respect to the pre-activations. Every kernel is tested against these files, and they run wherever no kernel
does. Start with `elman`, the lesson's cell, then `gru` and `lstm`; `protocol` names what a cell provides.
"""

from .activations import ACTIVATIONS as ACTIVATIONS
from .activations import Activation as Activation
from .elman import ElmanEquations as ElmanEquations
from .gru import GRUEquations as GRUEquations
from .lstm import LSTMEquations as LSTMEquations
from .protocol import Deltas as Deltas
from .protocol import Equations as Equations
from .protocol import Weights as Weights
