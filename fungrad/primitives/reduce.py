"""Primitives that combine the elements along axes: sum, product, extrema, logic, positions, running sums."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fungrad.errors import AxisError, DtypeError, ShapeError
from fungrad.ir.primitive import Cotangent, Primitive, Value
from fungrad.ir.types import BOOL, INT, ArrayType, array_type
from fungrad.primitives.linear import Linear
from fungrad.primitives.shape import Shape, after_batch, broadcast, reshape, transpose
from fungrad.trace import bind


def kept_shape(shape: Shape, axes: tuple[int, ...]) -> Shape:
    """The shape with extents of 1 at the reduced axes."""
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def _without(shape: Shape, axes: tuple[int, ...]) -> Shape:
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def _check_axes(name: str, axes: tuple[int, ...], x: ArrayType) -> None:
    if len(set(axes)) != len(axes) or any(not 0 <= a < x.ndim for a in axes):
        raise AxisError(f"{name}: axes {axes} are not distinct axes of {x}")


def spread(x: Value, shape: Shape, axes: tuple[int, ...]) -> Value:
    """A reduced value repeated along the reduced axes again."""
    return broadcast(reshape(x, kept_shape(shape, axes)), shape)


@dataclass(frozen=True, slots=True)
class Sum(Linear):
    """The sum along `axes`, in the operand's own dtype."""

    axes: tuple[int, ...]

    def infer(self, *types: ArrayType) -> ArrayType:
        (x,) = types
        _check_axes("sum", self.axes, x)
        if x.dtype == BOOL:
            raise DtypeError(f"sum: {x} must be converted to an integer type first")
        return array_type(_without(x.shape, self.axes), x.dtype)

    def evaluate(self, *arrays: Any) -> Any:
        (x,) = arrays
        return np.add.reduce(x, axis=self.axes, dtype=x.dtype)

    def transpose(self, ct: Value, *inputs: Value) -> Value:
        return spread(ct, inputs[0].shape, self.axes)

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Value:
        return bind(Sum(after_batch(self.axes)), *inputs)


_EXTREMA = {"max": np.maximum.reduce, "min": np.minimum.reduce}
_LOGIC = {"any": np.logical_or.reduce, "all": np.logical_and.reduce}
_REDUCERS: dict[str, Any] = {"prod": np.multiply.reduce, **_EXTREMA, **_LOGIC}


@dataclass(frozen=True, slots=True)
class Reduce(Primitive):
    """The product, maximum, minimum, disjunction or conjunction along `axes`. `kind` is its NumPy name."""

    kind: str = field(repr=False)
    axes: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"reduce_{self.kind}"

    def infer(self, *types: ArrayType) -> ArrayType:
        (x,) = types
        _check_axes(self.name, self.axes, x)
        if (self.kind in _LOGIC) != (x.dtype == BOOL):
            raise DtypeError(f"{self.name}: got {x}, expected {'bool' if self.kind in _LOGIC else 'numbers'}")
        if self.kind in _EXTREMA and any(x.shape[a] == 0 for a in self.axes):
            raise ShapeError(f"{self.name}: {x} has no elements along axes {self.axes}, so there is no {self.kind}")
        return array_type(_without(x.shape, self.axes), x.dtype)

    def evaluate(self, *arrays: Any) -> Any:
        (x,) = arrays
        if self.kind in _LOGIC:
            return _REDUCERS[self.kind](x, axis=self.axes)
        return _REDUCERS[self.kind](x, axis=self.axes, dtype=x.dtype)

    def vjp(self, ct: Any, inputs: Sequence[Value], out: Any, wanted: Sequence[bool]) -> Sequence[Cotangent]:
        (x,) = inputs
        if not wanted[0] or self.kind in _LOGIC:
            return [None]
        return [spread(ct, x.shape, self.axes) * self._partial(x, out)]

    def jvp(self, tangents: Sequence[Cotangent], inputs: Sequence[Value], out: Any) -> Cotangent:
        (t,), (x,) = tangents, inputs
        if t is None or self.kind in _LOGIC:
            return None
        return bind(Sum(self.axes), t * self._partial(x, out))

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Value:
        return bind(Reduce(self.kind, after_batch(self.axes)), *inputs)

    def _partial(self, x: Value, out: Value) -> Value:
        """The derivative of the result with respect to each element, of the shape of `x`."""
        return _products_of_others(x, self.axes) if self.kind == "prod" else _tie_share(x, out, self.axes)


def _tie_share(x: Value, out: Value, axes: tuple[int, ...]) -> Value:
    """1 at the extremum, shared evenly between ties, 0 elsewhere."""
    chosen = (x == spread(out, x.shape, axes)).astype(x.dtype)
    return chosen / spread(bind(Sum(axes), chosen), x.shape, axes)


def _products_of_others(x: Value, axes: tuple[int, ...]) -> Value:
    """For each element the product of all others, without division, so that zeros are exact.

    A binary tree of products is walked up, then down: below a node, what multiplies the left half is what multiplied
    the node times the right half. O(n) operations.
    """
    count = math.prod(x.shape[a] for a in axes)
    if x.size == 0 or count == 1:
        return np.ones_like(x)
    order = (*(i for i in range(x.ndim) if i not in axes), *axes)
    moved = transpose(x, order)
    flat = reshape(moved, (*_without(x.shape, axes), count))
    levels = [flat]
    while levels[-1].shape[-1] > 2:
        top = levels[-1]
        if top.shape[-1] % 2:
            top = levels[-1] = np.concatenate([top, np.ones_like(top[..., :1])], axis=-1)
        levels.append(top[..., 0::2] * top[..., 1::2])
    others = levels[-1][..., ::-1]  # of two numbers, each is the product of the others
    for level in reversed(levels[:-1]):
        others = others[..., : level.shape[-1] // 2]
        pair = np.stack([others * level[..., 1::2], others * level[..., 0::2]], axis=-1)
        others = reshape(pair, level.shape)
    others = reshape(others[..., : flat.shape[-1]], moved.shape)
    return transpose(others, tuple(sorted(range(x.ndim), key=order.__getitem__)))


@dataclass(frozen=True, slots=True)
class ArgReduce(Primitive):
    """The position of the first maximum or minimum along `axis`, as int64. A nan counts as the extremum."""

    kind: str = field(repr=False)
    axis: int

    @property
    def name(self) -> str:
        return f"arg{self.kind}"

    def infer(self, *types: ArrayType) -> ArrayType:
        (x,) = types
        _check_axes(self.name, (self.axis,), x)
        if x.shape[self.axis] == 0:
            raise ShapeError(f"{self.name}: {x} has no elements along axis {self.axis}")
        return array_type(_without(x.shape, (self.axis,)), INT)

    def evaluate(self, *arrays: Any) -> Any:
        (x,) = arrays
        return np.argmax(x, axis=self.axis) if self.kind == "max" else np.argmin(x, axis=self.axis)

    def vjp(self, ct: Any, inputs: Sequence[Value], out: Any, wanted: Sequence[bool]) -> Sequence[Cotangent]:
        return [None]

    def jvp(self, tangents: Sequence[Cotangent], inputs: Sequence[Value], out: Any) -> Cotangent:
        return None

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Value:
        return bind(ArgReduce(self.kind, self.axis + 1), *inputs)


@dataclass(frozen=True, slots=True)
class CumSum(Linear):
    """Running sums along `axis`, from the end if `reverse`."""

    axis: int
    reverse: bool = False

    def infer(self, *types: ArrayType) -> ArrayType:
        (x,) = types
        _check_axes("cumsum", (self.axis,), x)
        if x.dtype == BOOL:
            raise DtypeError(f"cumsum: {x} must be converted to an integer type first")
        return x

    def evaluate(self, *arrays: Any) -> Any:
        (x,) = arrays
        if self.reverse:
            return np.flip(np.add.accumulate(np.flip(x, self.axis), axis=self.axis, dtype=x.dtype), self.axis)
        return np.add.accumulate(x, axis=self.axis, dtype=x.dtype)

    def transpose(self, ct: Value, *inputs: Value) -> Value:
        return bind(CumSum(self.axis, not self.reverse), ct)

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Value:
        return bind(CumSum(self.axis + 1, self.reverse), *inputs)
