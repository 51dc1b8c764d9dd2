"""Reading and writing at positions given by integer arrays, along the leading axes.

Indices are integer arrays of one shape I, one for each of the first k axes of `x`; negative ones count from the end, as
in NumPy. The NumPy layer brings every form of advanced indexing into this one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fungrad.errors import DtypeError, OutOfBoundsError, ShapeError
from fungrad.ir.primitive import Cotangent, Primitive, Value
from fungrad.ir.types import ArrayType, array_type
from fungrad.primitives.create import full, zeros_like
from fungrad.primitives.linear import Linear
from fungrad.primitives.shape import repeated
from fungrad.trace import bind


def check_indices(name: str, x: ArrayType, indices: Sequence[ArrayType]) -> tuple[int, ...]:
    """The shape of `x[indices]`, or an error that says which index does not fit."""
    if not 0 < len(indices) <= x.ndim:
        raise ShapeError(f"{name}: {len(indices)} index arrays for {x}")
    for position, index in enumerate(indices):
        if index.dtype.kind not in "iu":
            raise DtypeError(f"{name}: index {position} is {index}, expected integers")
        if index.shape != indices[0].shape:
            raise ShapeError(f"{name}: index {position} is {index}, expected shape {indices[0].shape}")
    return (*indices[0].shape, *x.shape[len(indices) :])


def check_bounds(name: str, extents: Mapping[int, int], indices: Sequence[Any]) -> None:
    """Raise OutOfBoundsError if an index array reaches outside its axis, given the axes' numbers and extents."""
    for (axis, extent), index in zip(extents.items(), indices, strict=False):
        if index.size and (index.max() >= extent or index.min() < -extent):
            wrong = index.max() if index.max() >= extent else index.min()
            raise OutOfBoundsError(f"{name}: index {wrong} is out of bounds for axis {axis} of extent {extent}")


@dataclass(frozen=True, slots=True)
class Gather(Linear):
    """`x[i, j, ...]`: operands are `x` and the index arrays. Shape I + the remaining axes of `x`."""

    def infer(self, *types: ArrayType) -> ArrayType:
        x, *indices = types
        return array_type(check_indices("gather", x, indices), x.dtype)

    def evaluate(self, *arrays: Any) -> Any:
        x, *indices = arrays
        check_bounds("gather", dict(enumerate(x.shape)), indices)
        return x[tuple(indices)]

    def transpose(self, ct: Value, *inputs: Value) -> Value:
        x, *indices = inputs
        return scatter_add(zeros_like(x), indices, ct)

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Value:
        x, *indices = inputs
        indices = repeated(size, indices, batched[1:])
        if batched[0]:
            indices = [_example_numbers(indices[0].shape), *indices]
        return gather(x, indices)


@dataclass(frozen=True, slots=True)
class ScatterAdd(Primitive):
    """`x` with `updates` added at the indices, repeated ones as often as they occur. Operands: x, updates, indices."""

    @property
    def name(self) -> str:
        return "scatter_add"

    def infer(self, *types: ArrayType) -> ArrayType:
        return _check_updates(self.name, types)

    def evaluate(self, *arrays: Any) -> Any:
        x, updates, *indices = arrays
        check_bounds(self.name, dict(enumerate(x.shape)), indices)
        out = np.array(x)
        np.add.at(out, tuple(indices), updates)
        return out

    def vjp(self, ct: Any, inputs: Sequence[Value], out: Any, wanted: Sequence[bool]) -> Sequence[Cotangent]:
        _, _, *indices = inputs
        return [ct if wanted[0] else None, gather(ct, indices) if wanted[1] else None, *[None] * len(indices)]

    def linear_in(self, operands: Sequence[bool]) -> bool:
        return not any(operands[2:])

    def jvp(self, tangents: Sequence[Cotangent], inputs: Sequence[Value], out: Any) -> Cotangent:
        return _written_tangent(self, tangents, inputs)

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Value:
        return _written_batch(self, size, inputs, batched)


@dataclass(frozen=True, slots=True)
class Scatter(Primitive):
    """`x` with `updates` written at the indices; of repeated ones the last wins. Operands: x, updates, indices."""

    def infer(self, *types: ArrayType) -> ArrayType:
        return _check_updates(self.name, types)

    def evaluate(self, *arrays: Any) -> Any:
        x, updates, *indices = arrays
        check_bounds(self.name, dict(enumerate(x.shape)), indices)
        out = np.array(x)
        # NumPy walks index arrays in memory order: only in row-major order is the last one also the last written
        out[tuple([np.asarray(index, order="C") for index in indices])] = np.asarray(updates, order="C")
        return out

    def vjp(self, ct: Any, inputs: Sequence[Value], out: Any, wanted: Sequence[bool]) -> Sequence[Cotangent]:
        x, updates, *indices = inputs
        ct_x = scatter(ct, indices, full(updates.shape, 0, ct.dtype)) if wanted[0] else None
        ct_updates = np.where(_winners(x, updates, indices), gather(ct, indices), 0.0) if wanted[1] else None
        return [ct_x, ct_updates, *[None] * len(indices)]

    def linear_in(self, operands: Sequence[bool]) -> bool:
        return not any(operands[2:])

    def jvp(self, tangents: Sequence[Cotangent], inputs: Sequence[Value], out: Any) -> Cotangent:
        return _written_tangent(self, tangents, inputs)

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Value:
        return _written_batch(self, size, inputs, batched)


def _winners(x: Value, updates: Value, indices: Sequence[Value]) -> Value:
    """Which updates survive: each writes its own number, and those that read it back have won."""
    numbers = np.arange(updates.size).reshape(updates.shape)
    written = scatter(full(x.shape, -1, numbers.dtype), indices, numbers)
    return gather(written, indices) == numbers


def _check_updates(name: str, types: Sequence[ArrayType]) -> ArrayType:
    x, updates, *indices = types
    shape = check_indices(name, x, indices)
    if updates.shape != shape:
        raise ShapeError(f"{name}: updates are {updates}, expected shape {shape}")
    if updates.dtype != x.dtype:
        raise DtypeError(f"{name}: updates are {updates}, expected dtype {x.dtype}")
    return x


def _written_tangent(op: Primitive, tangents: Sequence[Cotangent], inputs: Sequence[Value]) -> Cotangent:
    """Writing is linear in `x` and `updates` together."""
    x, updates, *indices = inputs
    t_x = zeros_like(x) if tangents[0] is None else tangents[0]
    t_updates = zeros_like(updates) if tangents[1] is None else tangents[1]
    return bind(op, t_x, t_updates, *indices)


def _written_batch(op: Primitive, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Value:
    """Each example writes into an `x` of its own."""
    x, updates, *indices = repeated(size, inputs, batched)
    return bind(op, x, updates, _example_numbers(indices[0].shape), *indices)


def _example_numbers(shape: tuple[int, ...]) -> Any:
    """For a batch of index arrays, the index along the batch axis: each example's own number."""
    return np.broadcast_to(np.arange(shape[0]).reshape(shape[0], *(1,) * (len(shape) - 1)), shape)


def gather(x: Value, indices: Sequence[Value]) -> Value:
    """The elements of `x` at the indices."""
    return bind(Gather(), x, *indices)


def scatter_add(x: Value, indices: Sequence[Value], updates: Value) -> Value:
    """`x` with updates added at the indices."""
    return bind(ScatterAdd(), x, updates, *indices)


def scatter(x: Value, indices: Sequence[Value], updates: Value) -> Value:
    """`x` with updates written at the indices."""
    return bind(Scatter(), x, updates, *indices)
