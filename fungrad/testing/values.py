"""Numbers that checks are made with: random directions, further examples, other memory layouts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np


def differentiable(x: Any) -> bool:
    """Whether a value has a float dtype."""
    return bool(x.dtype.kind == "f")


def random_like(x: Any, rng: np.random.Generator) -> Any:
    """Numbers of the shape and dtype of `x`, of either sign and not near zero; a NumPy scalar for 0-d."""
    return np.asarray(rng.uniform(0.5, 1.5, x.shape) * rng.choice([-1.0, 1.0], x.shape)).astype(x.dtype)[()]


def random_direction(x: Any, rng: np.random.Generator) -> Any:
    """As `random_like`, and larger where `x` is large, so that a step along it is felt there."""
    return (random_like(x, rng) * np.maximum(1, np.abs(x))).astype(x.dtype)[()]


def varied(x: Any, number: int, rng: np.random.Generator) -> Any:
    """An operand for another example, of the type of `x` and valid where `x` is.

    Floats are scaled a little, integers permuted, booleans negated in every second example. Number 0 is `x` itself.
    """
    if number == 0:
        return x
    if x.dtype.kind == "f":
        return (x * (1 - (number % 8) / 16)).astype(x.dtype)
    if x.dtype.kind == "b":
        return x ^ bool(number % 2)
    return rng.permutation(x.reshape(-1)).reshape(x.shape)


def layouts(x: Any) -> Iterator[Any]:
    """The same numbers in other memory layouts: Fortran order, negative strides, gaps, read-only."""
    x = np.asarray(x)
    yield np.array(x, order="F")
    backwards = tuple(slice(None, None, -1) for _ in x.shape)
    yield np.array(x[backwards], order="C")[backwards]
    wide = np.zeros(tuple(2 * n for n in x.shape), x.dtype)
    gaps = tuple(slice(None, None, 2) for _ in x.shape)
    wide[gaps] = x
    yield wide[gaps] if x.ndim else wide
    frozen = x.copy()
    frozen.flags.writeable = False
    yield frozen


class Untouched:
    """Arrays that nobody may change: `check` compares them with what they were."""

    def __init__(self, values: Sequence[Any]) -> None:
        self._values = [(x, np.array(x)) for x in values if isinstance(x, np.ndarray)]

    def check(self, what: str) -> None:
        """Raise AssertionError if an array has other bits than before."""
        for position, (x, before) in enumerate(self._values):
            assert x.tobytes() == before.tobytes(), f"{what}: operand {position} was changed in place"
