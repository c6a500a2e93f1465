from . import fused as fused
from . import kernels as kernels
from .accelerate import accelerate as accelerate
from .accelerate import to_torch as to_torch
from .cell import Cell as Cell
from .cell import unfold as unfold
from .equations.activations import Activation as Activation
from .insight.explain import Explanation as Explanation
from .insight.explain import explain as explain
from .modules import GRU as GRU
from .modules import LSTM as LSTM
from .modules import RNN as RNN
from .networks import Elman as Elman
from .networks import SequenceModel as SequenceModel
from .networks import cross_entropy as cross_entropy
from .networks import squared_error as squared_error
from .packing import pack_padded_sequence as pack_padded_sequence
from .reach.bias import Bias as Bias
from .reach.bias import bias as bias
from .reach.checkpointed import Checkpointed as Checkpointed
from .reach.checkpointed import checkpointed as checkpointed
from .reach.plan import Plan as Plan
from .reach.plan import plan as plan
from .reach.truncated import Window as Window
from .reach.truncated import truncated as truncated
from .training.stream import stream as stream

__version__: str
