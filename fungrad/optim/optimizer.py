"""What an optimizer is: `init` makes its state, `update` turns gradients into changes of the parameters.

    state = optimizer.init(params)
    updates, state = optimizer.update(grads, state, params)
    params = apply_updates(params, updates)

The state is a pytree of arrays, so that the three lines can run inside `jit`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from fungrad import tree
from fungrad.errors import ArgumentError
from fungrad.trace import Tracer


class Optimizer(NamedTuple):
    """A pair of pure functions."""

    init: Callable[[Any], Any]
    """params -> state"""

    update: Callable[[Any, Any, Any], tuple[Any, Any]]
    """(grads, state, params) -> (updates, state)"""


def apply_updates(params: Any, updates: Any) -> Any:
    """`params + updates`, leaf by leaf; each leaf keeps the dtype of the parameter.

    Raises:
        TreeError: the two have different structures.
    """
    return tree.map(_add, params, updates)


def _add(param: Any, update: Any) -> Any:
    total = param + update
    return total if total.dtype == getattr(param, "dtype", total.dtype) else total.astype(param.dtype)


def check_number(function: str, name: str, value: Any, low: float, high: float = math.inf, *, open_low: bool) -> Any:
    """`value` as a Python number, which takes the dtype of the array it meets.

    A tracer passes unchecked: then somebody differentiates with respect to a hyperparameter.

    Raises:
        ArgumentError: it is not a real number between `low` and `high` (exclusive).
    """
    if isinstance(value, Tracer):
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (low < number < high or (number == low and not open_low)):
        interval = f"{'(' if open_low else '['}{low:g}, {high:g})"
        raise ArgumentError(f"{function}: {name} must be a number in {interval}, got {value!r}.")
    return number
