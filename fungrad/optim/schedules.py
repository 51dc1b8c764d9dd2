"""The learning rate as a function of the number of steps already taken.

A schedule is any function from the count (0 at the first step; a Python int or a traced integer) to the rate. To state
a decay in epochs, multiply by the number of steps an epoch has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fungrad.errors import ArgumentError
from fungrad.optim.optimizer import check_number

Schedule = Callable[[Any], Any]


def constant(learning_rate: float) -> Schedule:
    """The same rate at every step."""
    learning_rate = check_number("constant", "learning_rate", learning_rate, 0, open_low=True)
    return lambda count: learning_rate


def step_decay(learning_rate: float, factor: float, every: int) -> Schedule:
    """learning_rate * factor^floor(count / every): the rate falls by `factor` every so many steps.

    Raises:
        ArgumentError: `factor` is not in (0, 1), `every` is not a positive int.

    >>> rate = step_decay(1.0, 0.1, every=10)
    >>> float(rate(9)), float(rate(10))
    (1.0, 0.1)
    """
    learning_rate = check_number("step_decay", "learning_rate", learning_rate, 0, open_low=True)
    factor = check_number("step_decay", "factor", factor, 0, 1, open_low=True)
    if isinstance(every, bool) or not isinstance(every, int | np.integer) or every < 1:
        raise ArgumentError(f"step_decay: every must be a positive int, a number of steps, got {every!r}.")
    return lambda count: learning_rate * factor ** (count // every)


def exponential_decay(learning_rate: float, rate: float) -> Schedule:
    """learning_rate * e^(-rate * count).

    Raises:
        ArgumentError: `rate` is not positive.
    """
    learning_rate = check_number("exponential_decay", "learning_rate", learning_rate, 0, open_low=True)
    rate = check_number("exponential_decay", "rate", rate, 0, open_low=True)
    return lambda count: learning_rate * np.exp(-rate * count)
