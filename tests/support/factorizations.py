"""Examples of factorizations, at matrices whose eigenvalues or singular values lie apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fungrad.ir.primitive import Primitive
from fungrad.primitives.factorizations import Eigh, Qr, Svd


class MatrixExample(NamedTuple):
    """A primitive and the shape of its matrices."""

    op: Primitive
    shape: tuple[int, ...]

    def drawn(self, rng: np.random.Generator, dtype: Any) -> list[Any]:
        return [apart(rng, self.shape, symmetric=isinstance(self.op, Eigh)).astype(dtype)]


def apart(rng: np.random.Generator, shape: tuple[int, ...], symmetric: bool = False) -> Any:
    """Random matrices with singular values about 1, 2, 3 ...; symmetric ones have eigenvalues of both signs."""
    *stack, m, n = shape
    count = min(m, n)
    values = 1.0 + np.arange(count) + rng.uniform(-0.2, 0.2, (*stack, count))
    left, right = (_orthogonal(rng, (*stack, side, side))[..., :count] for side in (m, n))
    if symmetric:
        left, values = right, values - 1.5
    return (left * values[..., None, :]) @ np.swapaxes(right, -1, -2)


def _orthogonal(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return np.linalg.qr(rng.normal(size=shape))[0]


def _examples(op: Primitive, *shapes: tuple[int, ...]) -> Callable[[Any], list[MatrixExample]]:
    return lambda dtype: [MatrixExample(op, shape) for shape in shapes]


FACTORIZATIONS: dict[str, Callable[[Any], list[MatrixExample]]] = {
    "Eigh": lambda dtype: [
        *(MatrixExample(Eigh(), shape) for shape in ((3, 3), (2, 2, 2), (1, 1), (0, 0))),
        MatrixExample(Eigh(lower=False), (3, 3)),
    ],
    "Svd": _examples(Svd(), (3, 3), (3, 2), (2, 3), (2, 2, 2), (1, 3), (0, 2)),
    "Qr": _examples(Qr(), (3, 3), (3, 2), (2, 2, 2), (2, 0)),
}
"""From a name and a float dtype to examples."""
