"""Floor 0: the mathematics of one step, and of its adjoint, one file per cell."""

from .activations import ACTIVATIONS as ACTIVATIONS
from .activations import Activation as Activation
from .elman import ElmanEquations as ElmanEquations
from .gru import GRUEquations as GRUEquations
from .lstm import LSTMEquations as LSTMEquations
from .protocol import Deltas as Deltas
from .protocol import Equations as Equations
from .protocol import Weights as Weights
