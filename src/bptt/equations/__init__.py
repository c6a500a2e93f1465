"""Floor 0: the mathematics of one step, and of its adjoint, one file per cell."""

from .activations import ACTIVATIONS as ACTIVATIONS
from .activations import Activation as Activation
from .cell import Cell as Cell
from .cell import Deltas as Deltas
from .cell import Weights as Weights
from .elman import Elman as Elman
from .gru import GRU as GRU
from .lstm import LSTM as LSTM
