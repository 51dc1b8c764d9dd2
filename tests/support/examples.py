"""One table of examples for every primitive: Hypothesis strategies of applications, a primitive with its operands.

The keys are the rows of the elementwise table and the class names of the other primitives. Shapes are small, so that
derivatives can be checked element by element.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from hypothesis import Phase, find, settings
from hypothesis import strategies as st

from fungrad.ir.primitive import Primitive
from fungrad.primitives.contract import Dot
from fungrad.primitives.convert import Convert
from fungrad.primitives.determinants import Cofactors, Det, LogDet
from fungrad.primitives.elementwise import ELEMENTWISE, ROWS, Elementwise
from fungrad.primitives.factorizations import PseudoInverse
from fungrad.primitives.index import Gather, Scatter, ScatterAdd
from fungrad.primitives.linalg import Cholesky, Inverse, LinearSolver, MatrixFunction, Solve, TriangularSolve
from fungrad.primitives.random import Threefry
from fungrad.primitives.reduce import ArgReduce, CumSum, Reduce, Sum
from fungrad.primitives.shape import Broadcast, Concatenate, Flip, Pad, Reshape, Slice, Transpose
from fungrad.primitives.sort import ArgSort
from fungrad.testing.strategies import rngs, shapes
from fungrad.testing.values import varied
from tests.support.factorizations import apart
from tests.support.values import nonzero, row_operands

Shape = tuple[int, ...]


class Application(NamedTuple):
    """A primitive and operands of it."""

    op: Primitive
    inputs: list[Any]


Strategy = st.SearchStrategy[Application]


def _array(rng: np.random.Generator, shape: Shape, dtype: Any) -> Any:
    return np.asarray(nonzero(rng, shape)).astype(dtype)


def _distinct(rng: np.random.Generator, shape: Shape, dtype: Any) -> Any:
    """Numbers of which no two are near each other."""
    size = int(np.prod(shape))
    return np.asarray((rng.permutation(size) - size / 2 + rng.uniform(-0.2, 0.2, size)).reshape(shape)).astype(dtype)


def _subset(draw: st.DrawFn, ndim: int) -> Shape:
    return tuple(i for i in range(ndim) if draw(st.booleans()))


@st.composite
def _elementwise(draw: st.DrawFn, row: str, dtype: Any) -> Application:
    return Application(ELEMENTWISE[row], row_operands(row, draw(rngs()), draw(shapes()), dtype))


@st.composite
def _broadcast(draw: st.DrawFn, dtype: Any) -> Application:
    shape = draw(shapes())
    start = draw(st.integers(0, len(shape)))
    own = tuple(1 if draw(st.booleans()) else n for n in shape[start:])
    return Application(Broadcast(shape), [_array(draw(rngs()), own, dtype)])


@st.composite
def _reshape(draw: st.DrawFn, dtype: Any) -> Application:
    shape = draw(shapes())
    size = int(np.prod(shape))
    options = [(size,), (1, *shape), (*shape, 1), shape[::-1]]
    if len(shape) > 1:
        options += [(shape[0] * shape[1], *shape[2:]), (shape[0], size // shape[0] if size else 0)]
    return Application(Reshape(draw(st.sampled_from(options))), [_array(draw(rngs()), shape, dtype)])


@st.composite
def _transpose(draw: st.DrawFn, dtype: Any) -> Application:
    shape = draw(shapes())
    axes = tuple(draw(st.permutations(range(len(shape)))))
    return Application(Transpose(axes), [_array(draw(rngs()), shape, dtype)])


@st.composite
def _slice(draw: st.DrawFn, dtype: Any) -> Application:
    shape = draw(shapes(max_side=4))
    bounds = [sorted((draw(st.integers(0, n)), draw(st.integers(0, n)))) for n in shape]
    steps = tuple(draw(st.integers(1, 3)) for _ in shape)
    op = Slice(tuple(a for a, _ in bounds), tuple(b for _, b in bounds), steps)
    return Application(op, [_array(draw(rngs()), shape, dtype)])


@st.composite
def _pad(draw: st.DrawFn, dtype: Any) -> Application:
    shape = draw(shapes(max_dims=2))
    before, after, between = (tuple(draw(st.integers(0, 2)) for _ in shape) for _ in range(3))
    rng = draw(rngs())
    return Application(Pad(before, after, between), [_array(rng, shape, dtype), _array(rng, (), dtype)])


@st.composite
def _concatenate(draw: st.DrawFn, dtype: Any) -> Application:
    shape = draw(shapes(min_dims=1))
    axis = draw(st.integers(0, len(shape) - 1))
    extents = draw(st.lists(st.integers(0, 3), min_size=1, max_size=4))
    rng = draw(rngs())
    return Application(Concatenate(axis), [_array(rng, (*shape[:axis], n, *shape[axis + 1 :]), dtype) for n in extents])


@st.composite
def _flip(draw: st.DrawFn, dtype: Any) -> Application:
    shape = draw(shapes())
    return Application(Flip(_subset(draw, len(shape))), [_array(draw(rngs()), shape, dtype)])


@st.composite
def _sum(draw: st.DrawFn, dtype: Any) -> Application:
    shape = draw(shapes())
    return Application(Sum(_subset(draw, len(shape))), [_array(draw(rngs()), shape, dtype)])


@st.composite
def _reduce(draw: st.DrawFn, dtype: Any) -> Application:
    kind = draw(st.sampled_from(["prod", "max", "min", "any", "all"]))
    shape = draw(shapes(min_side=1 if kind in ("max", "min") else 0))
    rng = draw(rngs())
    if kind in ("any", "all"):
        x = np.asarray(rng.integers(0, 2, shape) == 1)
    elif kind == "prod":  # zeros too: the product is smooth there
        x = np.asarray(nonzero(rng, shape) * (rng.uniform(size=shape) < 0.8)).astype(dtype)
    else:
        x = _distinct(rng, shape, dtype)
    return Application(Reduce(kind, _subset(draw, len(shape))), [x])


@st.composite
def _arg_reduce(draw: st.DrawFn, dtype: Any) -> Application:
    shape = draw(shapes(min_dims=1, min_side=1))
    op = ArgReduce(draw(st.sampled_from(["max", "min"])), draw(st.integers(0, len(shape) - 1)))
    return Application(op, [_distinct(draw(rngs()), shape, dtype)])


@st.composite
def _cumsum(draw: st.DrawFn, dtype: Any) -> Application:
    shape = draw(shapes(min_dims=1))
    op = CumSum(draw(st.integers(0, len(shape) - 1)), draw(st.booleans()))
    return Application(op, [_array(draw(rngs()), shape, dtype)])


@st.composite
def _argsort(draw: st.DrawFn, dtype: Any) -> Application:
    shape = draw(shapes(min_dims=1))
    return Application(ArgSort(draw(st.integers(0, len(shape) - 1))), [_distinct(draw(rngs()), shape, dtype)])


@st.composite
def _dot(draw: st.DrawFn, dtype: Any) -> Application:
    batch, inner = draw(shapes(max_dims=1)), draw(shapes(max_dims=2))
    rows, columns = draw(shapes(max_dims=2, max_side=2)), draw(shapes(max_dims=1))
    rng = draw(rngs())

    def operand(free: Shape) -> tuple[Any, Shape, Shape]:
        """An operand whose axes are in any order, and where its batch and contracted axes are."""
        extents = (*batch, *inner, *free)
        order = draw(st.permutations(range(len(extents))))
        place = [order.index(i) for i in range(len(batch) + len(inner))]
        x = _array(rng, tuple(extents[i] for i in order), dtype)
        return x, tuple(place[: len(batch)]), tuple(place[len(batch) :])

    a, batch_a, contract_a = operand(rows)
    b, batch_b, contract_b = operand(columns)
    return Application(Dot(contract_a, contract_b, batch_a, batch_b), [a, b])


@st.composite
def _indices(draw: st.DrawFn, shape: Shape) -> list[Any]:
    """Index arrays for the leading axes of an array of that shape; negative and repeated ones occur."""
    count = draw(st.integers(1, len(shape)))
    own = draw(shapes(max_dims=2)) if all(shape[:count]) else (0,)
    rng = draw(rngs())
    kind = draw(st.sampled_from([np.int64, np.int32, np.int8]))
    return [np.asarray(rng.integers(-n, n, own) if n else np.zeros(own)).astype(kind) for n in shape[:count]]


@st.composite
def _gather(draw: st.DrawFn, dtype: Any) -> Application:
    shape = draw(shapes(min_dims=1))
    return Application(Gather(), [_array(draw(rngs()), shape, dtype), *draw(_indices(shape))])


@st.composite
def _scatter(draw: st.DrawFn, op: Primitive, dtype: Any) -> Application:
    shape = draw(shapes(min_dims=1))
    indices = draw(_indices(shape))
    rng = draw(rngs())
    updates = _array(rng, (*indices[0].shape, *shape[len(indices) :]), dtype)
    return Application(op, [_array(rng, shape, dtype), updates, *indices])


@st.composite
def _convert(draw: st.DrawFn, dtype: Any) -> Application:
    target = draw(st.sampled_from([np.float64, np.float32, np.int64, np.int16, np.bool_]))
    return Application(Convert(np.dtype(target)), [_array(draw(rngs()), draw(shapes()), dtype)])


@st.composite
def _threefry(draw: st.DrawFn, dtype: Any) -> Application:
    rng, batch = draw(rngs()), draw(shapes(max_dims=2))
    key, start = (rng.integers(0, 2**32, shape) for shape in ((*batch, 2), batch))
    return Application(Threefry(draw(shapes(max_dims=2))), [key.astype(np.uint32), np.asarray(start).astype(np.uint64)])


MATRIX_PRIMITIVES = (MatrixFunction, LinearSolver)


def _well_conditioned(rng: np.random.Generator, shape: Shape, dtype: Any) -> Any:
    """Symmetric positive definite matrices whose order of rows and columns does not matter, plus a little that is not
    symmetric."""
    n = shape[-1]
    half = rng.uniform(-0.5, 0.5, shape)
    return (half @ np.swapaxes(half, -1, -2) + 1.5 * np.eye(n) + rng.uniform(-0.2, 0.2, shape)).astype(dtype)


@st.composite
def _of_matrix(draw: st.DrawFn, op: Primitive, dtype: Any) -> Application:
    n = draw(st.integers(0, 3))
    return Application(op, [_well_conditioned(draw(rngs()), (*draw(shapes(max_dims=2, max_side=2)), n, n), dtype)])


@st.composite
def _pseudo_inverse(draw: st.DrawFn, dtype: Any) -> Application:
    shape = (*draw(shapes(max_dims=2, max_side=2)), draw(st.integers(0, 3)), draw(st.integers(0, 3)))
    return Application(PseudoInverse(1e-6), [apart(draw(rngs()), shape).astype(dtype)])


@st.composite
def _system(draw: st.DrawFn, op: Primitive, dtype: Any) -> Application:
    stack, n, rng = draw(shapes(max_dims=2, max_side=2)), draw(st.integers(0, 3)), draw(rngs())
    a = _well_conditioned(rng, (*stack, n, n), dtype)
    return Application(op, [a, _array(rng, (*stack, n, draw(st.integers(0, 2))), dtype)])


@st.composite
def _triangular(draw: st.DrawFn, dtype: Any) -> Application:
    op = TriangularSolve(*(draw(st.booleans()) for _ in range(3)))
    return draw(_system(op, dtype))


EXAMPLES: dict[str, Callable[[Any], Strategy]] = {
    **{row: (lambda dtype, row=row: _elementwise(row, dtype)) for row in ROWS},
    "Broadcast": _broadcast,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Slice": _slice,
    "Pad": _pad,
    "Concatenate": _concatenate,
    "Flip": _flip,
    "Sum": _sum,
    "Reduce": _reduce,
    "ArgReduce": _arg_reduce,
    "CumSum": _cumsum,
    "ArgSort": _argsort,
    "Dot": _dot,
    "Gather": _gather,
    "Scatter": lambda dtype: _scatter(Scatter(), dtype),
    "ScatterAdd": lambda dtype: _scatter(ScatterAdd(), dtype),
    "Convert": _convert,
    "Threefry": _threefry,
    "Cholesky": lambda dtype: _of_matrix(Cholesky(), dtype),
    "Inverse": lambda dtype: _of_matrix(Inverse(), dtype),
    "Solve": lambda dtype: _system(Solve(), dtype),
    "TriangularSolve": _triangular,
    "Det": lambda dtype: _of_matrix(Det(), dtype),
    "Cofactors": lambda dtype: _of_matrix(Cofactors(), dtype),
    "LogDet": lambda dtype: _of_matrix(LogDet(), dtype),
    "PseudoInverse": _pseudo_inverse,
}
"""From a name and a float dtype to a strategy of applications."""


def application_with_elements(name: str, seed: int) -> Application:
    """A random application of a primitive in float64: small, but not empty, and of more than one element."""

    def has_elements(application: Application) -> bool:
        op, inputs = application
        sizes = [np.size(op.evaluate(*inputs)), *(x.size for x in inputs)]
        return min(sizes) >= 1 and max(sizes) <= 12 and max(sizes[1:]) > 1

    first = settings(max_examples=2000, database=None, derandomize=False, phases=[Phase.generate])
    return find(EXAMPLES[name](np.float64), has_elements, settings=first, random=random.Random(seed))


def smooth_part(op: Primitive) -> Callable[..., Any] | None:
    """The function whose derivative the rules of a primitive state, where that is not `evaluate` on float64."""
    if isinstance(op, Convert) and op.dtype.kind == "f":
        return lambda x: x
    if op.name == "stop_gradient":
        return np.zeros_like
    return None


def vary(op: Primitive) -> Callable[[Any, int, np.random.Generator], Any]:
    """Makes operands of other examples, which differ where they can: integers, too."""

    def other(x: Any, number: int, rng: np.random.Generator) -> Any:
        if isinstance(op, MATRIX_PRIMITIVES):  # rows and columns together, so that a matrix keeps its eigenvalues
            order = rng.permutation(x.shape[-2])
            columns = order if x.shape[-1] == len(order) else slice(None)
            return (x[..., order, :][..., columns] * (1 - number / 16)).astype(x.dtype)
        if x.dtype.kind not in "iu" or number == 0:
            return varied(x, number, rng)
        if isinstance(op, Elementwise):
            return (rng.permutation(x.reshape(-1)).reshape(x.shape) + number).astype(x.dtype)
        shuffled = rng.permutation(x.reshape(-1)).reshape(x.shape)
        return ~shuffled if number % 2 else shuffled  # of positions -n ... n - 1, each maps to another

    return other


def redrawn(application: Application, rng: np.random.Generator) -> Sequence[Any]:
    """Other operands of the same types, where the primitive is smooth."""
    op, inputs = application
    if isinstance(op, Elementwise):
        operands = row_operands(op.row, rng, inputs[-1].shape, inputs[-1].dtype)
        return [np.where(x == 0, 1, x) for x in operands] if op.row.startswith("logical") else operands
    other = vary(op)
    if isinstance(op, MATRIX_PRIMITIVES):
        return [other(x, int(rng.integers(0, 5)), rng) * rng.uniform(0.9, 1.1) for x in inputs]
    scale = rng.uniform(0.6, 1.2)
    return [
        np.asarray(rng.permutation(x.reshape(-1)).reshape(x.shape) * scale).astype(x.dtype)[()]
        if x.dtype.kind == "f"
        else np.asarray(other(x, int(rng.integers(1, 5)), rng))[()]
        for x in map(np.asarray, inputs)
    ]
