"""Stochastic gradient descent, with momentum and weight decay.

    g <- g + weight_decay * params
    v <- momentum * v + g
    params <- params - rate * v                        or, with Nesterov, params - rate * (g + momentum * v)

The rate is outside the running sum v, so that changing it changes the very next step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fungrad import tree
from fungrad.errors import ArgumentError
from fungrad.ir.types import type_of
from fungrad.optim.optimizer import Optimizer, check_number
from fungrad.optim.schedules import Schedule
from fungrad.primitives.create import zeros_like
from fungrad.trace import Tracer, is_array


class SGDState(NamedTuple):
    count: Any  # int64, how many steps were taken
    velocity: Any  # like the parameters; None without momentum


def sgd(
    learning_rate: float | Schedule, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0
) -> Optimizer:
    """Stochastic gradient descent.

    Args:
        learning_rate: a positive number, or a schedule: a function of the number of steps taken.
        momentum: in [0, 1); how much of the last step's direction is kept.
        nesterov: look ahead by one step of momentum (Sutskever et al., 2013).
        weight_decay: adds the gradient of weight_decay / 2 * |params|^2.

    Returns:
        An Optimizer whose updates have the dtypes of the gradients.

    Raises:
        ArgumentError: an argument is out of range; or, in `update`, weight decay without `params`.
        TreeError: in `update`, gradients and state or parameters have different structures.

    >>> optimizer = sgd(0.1)
    >>> updates, state = optimizer.update(np.array([1.0]), optimizer.init(np.array([5.0])), None)
    >>> updates
    array([-0.1])
    """
    if not callable(learning_rate):
        learning_rate = check_number("sgd", "learning_rate", learning_rate, 0, open_low=True)
    momentum = check_number("sgd", "momentum", momentum, 0, 1, open_low=False)
    weight_decay = check_number("sgd", "weight_decay", weight_decay, 0, open_low=False)
    has_momentum = isinstance(momentum, Tracer) or momentum > 0
    has_decay = isinstance(weight_decay, Tracer) or weight_decay > 0
    if nesterov and not has_momentum:
        raise ArgumentError("sgd: nesterov=True needs momentum > 0.")

    def init(params: Any) -> SGDState:
        return SGDState(np.int64(0), tree.map(_zeros, params) if has_momentum else None)

    def update(grads: Any, state: SGDState, params: Any = None) -> tuple[Any, SGDState]:
        if has_decay:
            if params is None:
                raise ArgumentError("sgd: weight_decay needs the parameters; call update(grads, state, params).")
            grads = tree.map(lambda g, p: g + weight_decay * p, grads, params)
        rate = learning_rate(state.count) if callable(learning_rate) else learning_rate
        velocity = None
        direction = grads
        if has_momentum:
            velocity = tree.map(lambda g, v: momentum * v + g, grads, state.velocity)
            direction = tree.map(lambda g, v: g + momentum * v, grads, velocity) if nesterov else velocity
        return tree.map(lambda d: -_like(rate, d) * d, direction), SGDState(state.count + 1, velocity)

    return Optimizer(init, update)


def _zeros(param: Any) -> Any:
    """Zeros like a parameter, as an array the caller owns."""
    return zeros_like(param).copy() if is_array(param) else np.float64(0)


def _like(rate: Any, x: Any) -> Any:
    """The rate in the dtype of `x`; a Python number takes it by itself."""
    return rate.astype(x.dtype) if is_array(rate) and rate.dtype != type_of(x).dtype else rate
