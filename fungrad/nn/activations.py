"""Activation functions, applied element by element, and softmax, which works along an axis.

At its kink each has the derivative of its right-hand branch, as docs/kinks.md states: relu'(0) = 1. Arguments are
arrays of any shape or numbers; float32 and float64 are kept, integers become float64, complex numbers are a DtypeError.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fungrad.api import stop_gradient
from fungrad.nn.checks import as_float, normal_axes
from fungrad.primitives.elementwise import erf, logistic


def relu(x: Any) -> Any:
    """x where x >= 0, else 0, of the shape of x. The derivative at 0 is 1; nan stays nan.

    >>> relu(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """
    x = as_float("relu", "x", x)
    return np.where(x < 0, 0.0, x)


def leaky_relu(x: Any, slope: float = 0.01) -> Any:
    """x where x >= 0, else slope x, of the shape of x. The derivative at 0 is 1.

    Source: Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network acoustic models", 2013.

    >>> leaky_relu(np.array([-1.0, 0.0, 2.0]))
    array([-0.01,  0.  ,  2.  ])
    """
    x = as_float("leaky_relu", "x", x)
    return np.where(x < 0, slope * x, x)


def elu(x: Any, alpha: float = 1.0) -> Any:
    """x where x >= 0, else alpha (e^x - 1), of the shape of x. The derivative at 0 is 1.

    Source: Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning by exponential linear units",
    2016.
    """
    x = as_float("elu", "x", x)
    # the branch that is not taken is evaluated too: at 0, where it can neither overflow nor spoil the gradient
    return np.where(x < 0, alpha * np.expm1(np.where(x < 0, x, 0.0)), x)


def tanh(x: Any) -> Any:
    """The hyperbolic tangent of each element; its derivative is 1 - tanh(x)^2.

    >>> float(tanh(0.0))
    0.0
    """
    return np.tanh(as_float("tanh", "x", x))


def sigmoid(x: Any) -> Any:
    """s = 1 / (1 + e^-x) of each element, between 0 and 1; its derivative is s (1 - s).

    >>> float(sigmoid(0.0))
    0.5
    """
    return logistic(as_float("sigmoid", "x", x))


def softplus(x: Any) -> Any:
    """log(1 + e^x) of each element, also where e^x overflows; its derivative is the sigmoid.

    >>> softplus(np.array([-1000.0, 1000.0]))
    array([   0., 1000.])
    """
    return np.logaddexp(as_float("softplus", "x", x), 0.0)


def silu(x: Any) -> Any:
    """x sigmoid(x) of each element, also called swish.

    Source: Ramachandran, Zoph and Le, "Searching for activation functions", 2017.

    >>> float(silu(0.0))
    0.0
    """
    x = as_float("silu", "x", x)
    return x * logistic(x)


def gelu(x: Any, approximate: bool = False) -> Any:
    """x Phi(x) of each element, where Phi is the distribution function of the standard normal.

    Args:
        x: floats of any shape.
        approximate: use the cheaper form 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), which is off by less than
            5e-4.

    Source: Hendrycks and Gimpel, "Gaussian error linear units", 2016.
    """
    x = as_float("gelu", "x", x)
    if approximate:
        return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * (x * x * x))))
    return 0.5 * x * (1.0 + erf(x * math.sqrt(0.5)))


def softmax(x: Any, axis: int | Sequence[int] | None = -1) -> Any:
    """e^x divided by its sum along `axis`: positive, and sums to 1; of the shape of x.

    >>> softmax(np.array([0.0, 0.0]))
    array([0.5, 0.5])

    Args:
        x: floats of any shape but (); whatever their size, nothing overflows.
        axis: one or several axes, all for None.

    Raises:
        AxisError: `axis` is not an axis of `x`.
        ShapeError: it has no elements.
    """
    e = np.exp(_below_zero("softmax", x, axis))
    return e / np.sum(e, axis=_axes(axis), keepdims=True)


def log_softmax(x: Any, axis: int | Sequence[int] | None = -1) -> Any:
    """log(softmax(x)), also where softmax underflows to 0. Arguments and errors as `softmax`.

    >>> log_softmax(np.array([0.0, 1000.0]))
    array([-1000.,     0.])
    """
    shifted = _below_zero("log_softmax", x, axis)
    return shifted - np.log(np.sum(np.exp(shifted), axis=_axes(axis), keepdims=True))


def _below_zero(function: str, x: Any, axis: int | Sequence[int] | None) -> Any:
    """`x` minus its maximum along `axis`.

    Softmax does not depend on what is subtracted, so the maximum is a constant for the derivative.
    """
    x = as_float(function, "x", x)
    axes = normal_axes(function, x, axis)
    return x - stop_gradient(np.max(x, axis=axes, keepdims=True))


def _axes(axis: int | Sequence[int] | None) -> int | tuple[int, ...] | None:
    return tuple(axis) if isinstance(axis, Sequence) else axis
