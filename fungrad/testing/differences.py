"""Derivatives by differences, with an estimate of their error.

Central differences for the steps h, h/2, h/4 are extrapolated twice, which leaves an error of O(h**6) (L. F.
Richardson, The deferred approach to the limit, 1927; W. Romberg, Vereinfachte numerische Integration, 1955). How far
apart the two values of the first extrapolation are bounds it from above; to that is added what rounding of the
function's values may do. Where the estimate is too large, the step is reduced, and each element keeps its best one: so
a kink or the border of a domain that a large step would cross does not matter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

STEPS = tuple(2.0**-k for k in (5, 8, 11, 14, 17, 20))
NOISE = {np.dtype(np.float64): 1e-15, np.dtype(np.float32): 5e-7}  # relative error of a computed value


class Slope(NamedTuple):
    """A derivative by differences. All fields are float64 vectors of one length.

    - value: the derivative.
    - error: the estimate of its error; infinite where values were not finite.
    - step: the largest of the three steps it was made with.
    """

    value: Any
    error: Any
    step: Any


def slope(
    at: Callable[[float], Any],
    tolerance: Callable[[Any], Any],
    eps: float | None = None,
    noise: float = 1e-15,
) -> Slope:
    """The derivative at 0 of a vector-valued function of one number.

    Args:
        at: the function, with results of one shape (n,) in float64.
        tolerance: from the derivative to the error that is good enough, both of shape (n,).
        eps: the step; None tries several.
        noise: relative error of the values.
    """
    best: Slope | None = None
    with np.errstate(all="ignore"):
        for step in STEPS if eps is None else (eps,):
            found = _extrapolated(at, step, noise)
            if best is not None:
                better = found.error < best.error
                found = Slope(*(np.where(better, new, old) for new, old in zip(found, best, strict=True)))
            best = found
            if np.all(best.error <= tolerance(best.value)):
                break
    assert best is not None
    return best


def _extrapolated(at: Callable[[float], Any], step: float, noise: float) -> Slope:
    quotients = []
    size: Any = 0.0
    for h in (step, step / 2, step / 4):
        up, down = at(h), at(-h)
        quotients.append((up - down) / (2 * h))
        size = np.maximum(size, np.maximum(np.abs(up), np.abs(down)))
    coarse, middle, fine = quotients
    first, second = (4 * middle - coarse) / 3, (4 * fine - middle) / 3
    value = (16 * second - first) / 15
    error = np.abs(second - first) + 4 * noise * size / step
    return Slope(value, np.where(np.isfinite(value), error, np.inf), np.full(np.shape(value), step))
