"""Primitives that move elements without changing them. All are linear; each states its transpose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fungrad.errors import DtypeError, ShapeError
from fungrad.ir.primitive import Cotangent, Primitive, Value
from fungrad.ir.types import BOOL, ArrayType, array_type
from fungrad.primitives.create import full
from fungrad.primitives.linear import Linear
from fungrad.trace import bind

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Broadcast(Linear):
    """`x` repeated to `shape`, by NumPy's rule: axes are aligned at the right, extents of 1 are stretched."""

    shape: Shape

    def infer(self, *types: ArrayType) -> ArrayType:
        (x,) = types
        kept = self.shape[len(self.shape) - x.ndim :]
        if x.ndim > len(self.shape) or any(n not in (1, m) for n, m in zip(x.shape, kept, strict=True)):
            raise ShapeError(f"broadcast: {x} does not broadcast to shape {self.shape}")
        return array_type(self.shape, x.dtype)

    def evaluate(self, *arrays: Any) -> Any:
        (x,) = arrays
        if x.ndim == 0:
            return full(self.shape, x, x.dtype)
        if x.ndim == 1 and x.shape[0] == self.shape[-1] and x.flags.c_contiguous:
            strides = (0,) * (len(self.shape) - 1) + x.strides  # a bias, by far the most common case
            out = np.ndarray(self.shape, x.dtype, x, 0, strides)  # several times faster than broadcast_to
            out.flags.writeable = False
            return out
        return np.broadcast_to(x, self.shape)

    def transpose(self, ct: Value, *inputs: Value) -> Value:
        shape = inputs[0].shape
        new = len(self.shape) - len(shape)
        stretched = tuple(new + i for i, n in enumerate(shape) if n == 1 and self.shape[new + i] != 1)
        axes = (*range(new), *stretched)
        total = np.add.reduce(ct, axis=axes) if axes else ct
        return reshape(total, shape) if stretched else total

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Value:
        (x,) = inputs
        aligned = (size, *(1,) * (len(self.shape) + 1 - x.ndim), *x.shape[1:])
        return broadcast(reshape(x, aligned), (size, *self.shape))


@dataclass(frozen=True, slots=True)
class Reshape(Linear):
    """The elements of `x` in row-major order, with another shape."""

    shape: Shape

    def infer(self, *types: ArrayType) -> ArrayType:
        (x,) = types
        out = array_type(self.shape, x.dtype)
        if out.size != x.size:
            raise ShapeError(f"reshape: {x} has {x.size} elements, shape {self.shape} has {out.size}")
        return out

    def evaluate(self, *arrays: Any) -> Any:
        (x,) = arrays
        return x.reshape(self.shape)

    def transpose(self, ct: Value, *inputs: Value) -> Value:
        return reshape(ct, inputs[0].shape)

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Value:
        return bind(Reshape((size, *self.shape)), *inputs)


@dataclass(frozen=True, slots=True)
class Transpose(Linear):
    """Axis i of the result is axis `axes[i]` of `x`."""

    axes: tuple[int, ...]

    def infer(self, *types: ArrayType) -> ArrayType:
        (x,) = types
        if sorted(self.axes) != list(range(x.ndim)):
            raise ShapeError(f"transpose: axes {self.axes} are not a permutation of the axes of {x}")
        return array_type(tuple(x.shape[a] for a in self.axes), x.dtype)

    def evaluate(self, *arrays: Any) -> Any:
        (x,) = arrays
        return x.transpose(self.axes)

    def transpose(self, ct: Value, *inputs: Value) -> Value:
        inverse = sorted(range(len(self.axes)), key=self.axes.__getitem__)
        return bind(Transpose(tuple(inverse)), ct)

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Value:
        return bind(Transpose((0, *after_batch(self.axes))), *inputs)


@dataclass(frozen=True, slots=True)
class Slice(Linear):
    """`x[starts[i]:stops[i]:steps[i]]` along each axis i, with positive steps and bounds inside `x`."""

    starts: Shape
    stops: Shape
    steps: Shape

    def infer(self, *types: ArrayType) -> ArrayType:
        (x,) = types
        bounds = list(zip(self.starts, self.stops, self.steps, x.shape, strict=True))
        if any(not (0 <= a <= b <= n and s > 0) for a, b, s, n in bounds):
            raise ShapeError(f"slice: {self.starts}:{self.stops}:{self.steps} lies outside {x}")
        return array_type(tuple(len(range(a, b, s)) for a, b, s, _ in bounds), x.dtype)

    def evaluate(self, *arrays: Any) -> Any:
        (x,) = arrays
        return x[tuple(map(slice, self.starts, self.stops, self.steps))]

    def transpose(self, ct: Value, *inputs: Value) -> Value:
        last = [a + (n - 1) * s + 1 if n else a for a, n, s in zip(self.starts, ct.shape, self.steps, strict=True)]
        after = tuple(n - end for n, end in zip(inputs[0].shape, last, strict=True))
        between = tuple(s - 1 for s in self.steps)
        return pad(ct, full((), 0, ct.dtype), self.starts, after, between)

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Value:
        return bind(Slice((0, *self.starts), (size, *self.stops), (1, *self.steps)), *inputs)


@dataclass(frozen=True, slots=True)
class Pad(Primitive):
    """`x` with `before[i]`, `after[i]` copies of a 0-d `fill` around axis i and `between[i]` between its elements."""

    before: Shape
    after: Shape
    between: Shape

    def infer(self, *types: ArrayType) -> ArrayType:
        x, fill = types
        if fill.shape:
            raise ShapeError(f"pad: the fill value must be 0-d, got {fill}")
        if fill.dtype != x.dtype:
            raise DtypeError(f"pad: the fill value has type {fill}, expected dtype {x.dtype}")
        if min((*self.before, *self.after, *self.between), default=0) < 0:
            raise ShapeError(f"pad: widths must not be negative, got {self.before}, {self.after}, {self.between}")
        return array_type(self._shape(x.shape), x.dtype)

    def _shape(self, shape: Shape) -> Shape:
        widths = zip(shape, self.before, self.after, self.between, strict=True)
        return tuple(b + a + n + max(n - 1, 0) * m for n, b, a, m in widths)

    def _inside(self, shape: Shape) -> tuple[Shape, Shape, Shape]:
        """Where the elements of `x` lie in the result: starts, stops, steps."""
        steps = tuple(m + 1 for m in self.between)
        stops = tuple(b + max(n - 1, 0) * s + min(n, 1) for b, n, s in zip(self.before, shape, steps, strict=True))
        return self.before, stops, steps

    def evaluate(self, *arrays: Any) -> Any:
        x, fill = arrays
        out = np.full(self._shape(x.shape), fill, x.dtype)
        out[tuple(map(slice, *self._inside(x.shape)))] = x
        return out

    def vjp(self, ct: Any, inputs: Any, out: Any, wanted: Any) -> list[Cotangent]:
        inside: Any = bind(Slice(*self._inside(inputs[0].shape)), ct) if any(wanted) else None
        around = np.sum(ct) - np.sum(inside) if wanted[1] else None
        return [inside if wanted[0] else None, around]

    def linear_in(self, operands: Sequence[bool]) -> bool:
        return True

    def jvp(self, tangents: Any, inputs: Any, out: Any) -> Cotangent:
        x = inputs[0]
        t_x = full(x.shape, 0, x.dtype) if tangents[0] is None else tangents[0]
        t_fill = full((), 0, x.dtype) if tangents[1] is None else tangents[1]
        return bind(self, t_x, t_fill)

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Value:
        x, fill = inputs
        (x,) = repeated(size, [x], batched)
        wide = Pad((0, *self.before), (0, *self.after), (0, *self.between))
        if not batched[1]:
            return bind(wide, x, fill)
        inside = self.evaluate(full(x.shape[1:], True, BOOL), BOOL.type(False))
        fills = reshape(fill, (size, *(1,) * inside.ndim))
        return np.where(inside, bind(wide, x, x.dtype.type(0)), fills)


@dataclass(frozen=True, slots=True)
class Concatenate(Primitive):
    """The operands one after another along `axis`."""

    axis: int

    def infer(self, *types: ArrayType) -> ArrayType:
        first = types[0]
        for position, t in enumerate(types):
            if t.dtype != first.dtype:
                raise DtypeError(f"concatenate: operand {position} is {t}, expected dtype {first.dtype}")
            others = [i for i in range(first.ndim) if i != self.axis]
            if t.ndim != first.ndim or any(t.shape[i] != first.shape[i] for i in others):
                raise ShapeError(f"concatenate along axis {self.axis}: operand {position} is {t}, the first is {first}")
        total = sum(t.shape[self.axis] for t in types)
        return array_type((*first.shape[: self.axis], total, *first.shape[self.axis + 1 :]), first.dtype)

    def evaluate(self, *arrays: Any) -> Any:
        return np.concatenate(arrays, axis=self.axis)

    def vjp(self, ct: Any, inputs: Any, out: Any, wanted: Any) -> list[Cotangent]:
        cts: list[Cotangent] = []
        start = 0
        for x, asked in zip(inputs, wanted, strict=True):
            stop = start + x.shape[self.axis]
            starts = tuple(start if i == self.axis else 0 for i in range(ct.ndim))
            stops = tuple(stop if i == self.axis else n for i, n in enumerate(ct.shape))
            cts.append(bind(Slice(starts, stops, (1,) * ct.ndim), ct) if asked else None)
            start = stop
        return cts

    def linear_in(self, operands: Sequence[bool]) -> bool:
        return True

    def jvp(self, tangents: Any, inputs: Any, out: Any) -> Cotangent:
        filled = [full(x.shape, 0, x.dtype) if t is None else t for t, x in zip(tangents, inputs, strict=True)]
        return bind(self, *filled)

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Value:
        return bind(Concatenate(self.axis + 1), *repeated(size, inputs, batched))


@dataclass(frozen=True, slots=True)
class Flip(Linear):
    """`x` with the order of its elements reversed along `axes`."""

    axes: tuple[int, ...]

    def infer(self, *types: ArrayType) -> ArrayType:
        (x,) = types
        if any(not 0 <= a < x.ndim for a in self.axes):
            raise ShapeError(f"flip: axes {self.axes} are not axes of {x}")
        return x

    def evaluate(self, *arrays: Any) -> Any:
        (x,) = arrays
        return np.flip(x, self.axes)

    def transpose(self, ct: Value, *inputs: Value) -> Value:
        return bind(self, ct)

    def batch(self, size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> Value:
        return bind(Flip(after_batch(self.axes)), *inputs)


def broadcast(x: Value, shape: Shape) -> Value:
    """`x` broadcast to `shape`; `x` itself if it has that shape."""
    return x if x.shape == shape else bind(Broadcast(shape), x)


def reshape(x: Value, shape: Shape) -> Value:
    """`x` with another shape of as many elements; `x` itself if it has that shape."""
    return x if x.shape == shape else bind(Reshape(shape), x)


def transpose(x: Value, axes: tuple[int, ...]) -> Value:
    """`x` with permuted axes; `x` itself if the permutation is the identity."""
    return x if axes == tuple(range(x.ndim)) else bind(Transpose(axes), x)


def pad(x: Value, fill: Value, before: Shape, after: Shape, between: Shape) -> Value:
    """`x` with `fill` around and between its elements; `x` itself if there is nothing to add."""
    return bind(Pad(before, after, between), x, fill) if any((*before, *after, *between)) else x


def move_axis(x: Value, source: int, target: int) -> Value:
    """`x` with axis `source` at the place `target`, the others in order; both count from the front."""
    order = [axis for axis in range(x.ndim) if axis != source]
    order.insert(target, source)
    return transpose(x, tuple(order))


# -- for batch rules ---------------------------------------------------------------------------------------------------


def after_batch(axes: tuple[int, ...]) -> tuple[int, ...]:
    """Axes of one example as axes of a batch of examples."""
    return tuple(axis + 1 for axis in axes)


def repeated(size: int, inputs: Sequence[Value], batched: Sequence[bool]) -> list[Value]:
    """The inputs, with those that all examples share repeated along a leading batch axis."""
    return [x if has else broadcast(x, (size, *x.shape)) for x, has in zip(inputs, batched, strict=False)]
