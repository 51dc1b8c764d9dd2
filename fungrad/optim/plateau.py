"""Reduce the learning rate when the validation score has stopped rising.

Not a function of the step count but of what validation finds, so it is not a schedule: `fit` feeds it the score of each
epoch and multiplies the optimizer's updates by its scale. Momentum is kept: only the length of a step changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fungrad.errors import ArgumentError
from fungrad.optim.optimizer import check_number


class PlateauState(NamedTuple):
    scale: float  # what updates are multiplied by
    best: float  # the best score so far
    waited: int  # epochs since the best score or the last reduction


class Plateau(NamedTuple):
    """A pair of pure functions."""

    init: Callable[[], PlateauState]
    update: Callable[[PlateauState, float], PlateauState]
    """(state, score) -> state, where a larger score is better"""


def reduce_on_plateau(factor: float = 0.1, patience: int = 10, minimum: float = 0.0) -> Plateau:
    """Multiply the step size by `factor` after `patience` epochs without a new best score.

    Args:
        factor: in (0, 1).
        patience: how many epochs to wait, at least 1.
        minimum: the scale never falls below this.

    Raises:
        ArgumentError: an argument is out of range.

    >>> plateau = reduce_on_plateau(factor=0.5, patience=1)
    >>> state = plateau.update(plateau.init(), 0.9)
    >>> plateau.update(state, 0.8).scale
    0.5
    """
    factor = check_number("reduce_on_plateau", "factor", factor, 0, 1, open_low=True)
    minimum = check_number("reduce_on_plateau", "minimum", minimum, 0, 1, open_low=False)
    if isinstance(patience, bool) or not isinstance(patience, int | np.integer) or patience < 1:
        raise ArgumentError(f"reduce_on_plateau: patience must be a positive int, got {patience!r}.")

    def update(state: PlateauState, score: float) -> PlateauState:
        if score > state.best:
            return PlateauState(state.scale, score, 0)
        if state.waited + 1 < patience:
            return state._replace(waited=state.waited + 1)
        return PlateauState(max(state.scale * factor, minimum), state.best, 0)

    return Plateau(lambda: PlateauState(1.0, -math.inf, 0), update)
