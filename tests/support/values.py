"""Numbers for the elementwise rows, each inside the domain of its function and away from its kinks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fungrad.primitives.elementwise import ROWS

Rng = np.random.Generator
Draw = Callable[[Rng, tuple[int, ...]], list[Any]]  # float64 operands of one shape


def _between(low: float, high: float) -> Draw:
    return lambda rng, shape: [rng.uniform(low, high, shape)]


def nonzero(rng: Rng, shape: tuple[int, ...], low: float = 0.2, high: float = 2.0) -> Any:
    """Numbers of both signs, not near zero."""
    return rng.uniform(low, high, shape) * rng.choice([-1.0, 1.0], shape)


def _fractional(rng: Rng, shape: tuple[int, ...]) -> Any:
    """Numbers that are not near an integer or the middle between two."""
    return rng.integers(-3, 3, shape) + rng.uniform(0.1, 0.4, shape) + rng.choice([0.0, 0.5], shape)


def _apart(rng: Rng, shape: tuple[int, ...]) -> list[Any]:
    """Two operands that are nowhere nearly equal."""
    x = nonzero(rng, shape)
    return [x, x + nonzero(rng, shape, 0.2, 1.0)]


def _clip(rng: Rng, shape: tuple[int, ...]) -> list[Any]:
    """A value below, between or above two bounds; the bounds are sometimes the wrong way round."""
    order = rng.permuted(np.broadcast_to(np.arange(3.0), (*shape, 3)), axis=-1)
    return [order[..., i] + rng.uniform(-0.3, 0.3, shape) for i in range(3)]


def _whole_ratio(rng: Rng, shape: tuple[int, ...]) -> list[Any]:
    """x and y whose quotient is not near an integer."""
    y = nonzero(rng, shape, 0.5, 1.5)
    return [y * (rng.integers(-3, 3, shape) + rng.uniform(0.2, 0.8, shape)), y]


def _two(first: Any, second: Any) -> Draw:
    return lambda rng, shape: [first(rng, shape), second(rng, shape)]


def _one_nonzero(rng: Rng, shape: tuple[int, ...]) -> list[Any]:
    return [nonzero(rng, shape)]


_two_nonzero: Draw = _two(nonzero, nonzero)


def _two_with_zeros(rng: Rng, shape: tuple[int, ...]) -> list[Any]:
    return [rng.integers(0, 2, shape) * nonzero(rng, shape) for _ in range(2)]


_DOMAINS: dict[str, Draw] = {
    "pow": lambda rng, shape: [rng.uniform(0.3, 2.5, shape), nonzero(rng, shape)],
    "floor_divide": _whole_ratio,
    "remainder": _whole_ratio,
    "fmod": _whole_ratio,
    "sqrt": _between(0.2, 3),
    "log": _between(0.2, 3),
    "log2": _between(0.2, 3),
    "log10": _between(0.2, 3),
    "log1p": _between(-0.7, 3),
    "tan": _between(-1.2, 1.2),
    "arcsin": _between(-0.8, 0.8),
    "arccos": _between(-0.8, 0.8),
    "arctanh": _between(-0.8, 0.8),
    "erf_inv": _between(-0.8, 0.8),
    "arccosh": _between(1.3, 3),
    "floor": lambda rng, shape: [_fractional(rng, shape)],
    "ceil": lambda rng, shape: [_fractional(rng, shape)],
    "rint": lambda rng, shape: [_fractional(rng, shape)],
    "trunc": lambda rng, shape: [_fractional(rng, shape)],
    "maximum": _apart,
    "minimum": _apart,
    "fmax": _apart,
    "fmin": _apart,
    "clip": _clip,
    "select": lambda rng, shape: [rng.integers(0, 2, shape) == 1, nonzero(rng, shape), nonzero(rng, shape)],
    "equal": _apart,
    "not_equal": _apart,
    "less": _apart,
    "less_equal": _apart,
    "greater": _apart,
    "greater_equal": _apart,
    "logical_and": _two_with_zeros,
    "logical_or": _two_with_zeros,
    "logical_xor": _two_with_zeros,
}
_GENERAL_ROWS = (
    "neg square cbrt reciprocal abs sign exp exp2 expm1 logistic erf erfc erfcx sin cos arctan sinh cosh tanh arcsinh "
    "logical_not isnan isinf isfinite signbit stop_gradient"
)
_GENERAL2_ROWS = "add sub mul div copysign nextafter logaddexp arctan2 hypot"
_DOMAINS |= dict.fromkeys(_GENERAL_ROWS.split(), _one_nonzero) | dict.fromkeys(_GENERAL2_ROWS.split(), _two_nonzero)

INTEGER_ROWS = frozenset(["bitwise_and", "bitwise_or", "bitwise_xor", "invert", "left_shift", "right_shift"])


def row_operands(row: str, rng: Rng, shape: tuple[int, ...], dtype: Any) -> list[Any]:
    """Operands for a row. Integer rows get int64 whatever the dtype."""
    if row in INTEGER_ROWS:
        return [rng.integers(0, 20, shape) for _ in ROWS[row].partials]
    return [
        np.asarray(x) if x.dtype == np.bool_ else np.asarray(x).astype(dtype)
        for x in map(np.asarray, _DOMAINS[row](rng, shape))
    ]


def rows_with_values() -> set[str]:
    """The rows that this file knows."""
    return set(_DOMAINS) | INTEGER_ROWS
