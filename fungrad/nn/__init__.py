"""Layers, activations and losses as pure functions of arrays: no classes, no hidden state.

Parameters are ordinary pytrees, a list of `(A, b)` pairs for an MLP, so `grad`, `jit` and `tree.map` apply to them.
Every function works on plain ndarrays and on traced arrays, keeps float32 and float64 as they come, and is stable:
no overflow and no nan for arguments of any size that the dtype can square.
"""

from fungrad.nn.activations import elu as elu
from fungrad.nn.activations import gelu as gelu
from fungrad.nn.activations import leaky_relu as leaky_relu
from fungrad.nn.activations import log_softmax as log_softmax
from fungrad.nn.activations import relu as relu
from fungrad.nn.activations import sigmoid as sigmoid
from fungrad.nn.activations import silu as silu
from fungrad.nn.activations import softmax as softmax
from fungrad.nn.activations import softplus as softplus
from fungrad.nn.activations import tanh as tanh
from fungrad.nn.layers import init_linear as init_linear
from fungrad.nn.layers import init_mlp as init_mlp
from fungrad.nn.layers import linear as linear
from fungrad.nn.layers import linear_ax as linear_ax
from fungrad.nn.layers import mlp as mlp
from fungrad.nn.losses import one_hot as one_hot
from fungrad.nn.losses import softmax_cross_entropy as softmax_cross_entropy
from fungrad.nn.losses import squared_error as squared_error
