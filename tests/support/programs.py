"""Random programs: graphs of any primitives over mixed shapes and dtypes, drawn by Hypothesis, and inputs for them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from hypothesis import strategies as st

from fungrad.errors import DtypeError
from fungrad.ir.graph import Graph
from fungrad.ir.types import ArrayType, array_type, type_of
from fungrad.primitives.contract import Dot
from fungrad.primitives.convert import Convert
from fungrad.primitives.elementwise import ELEMENTWISE, ROWS
from fungrad.primitives.index import Gather, Scatter, ScatterAdd
from fungrad.primitives.reduce import ArgReduce, CumSum, Reduce, Sum
from fungrad.primitives.shape import Concatenate, Flip, Pad, Slice, Transpose, broadcast, reshape
from fungrad.primitives.sort import ArgSort
from fungrad.trace import Tracer, bind, trace

DTYPES = [np.dtype(d) for d in ("f8", "f4", "f8", "f4", "i8", "i4", "u1", "?")]
ALL_DTYPES = [np.dtype(d) for d in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8")]
SHAPES = [(), (1,), (3,), (2, 3), (3, 2), (2, 1), (2, 2, 3), (0,), (4, 0), (5,)]
MAX_SIZE = 80


@lru_cache
def row_defined(row: str, dtype: Any) -> bool:
    """Whether a row may be applied to operands of this dtype."""
    types = [
        array_type((2,), np.dtype(np.bool_) if row == "select" and i == 0 else dtype)
        for i in range(len(ROWS[row].partials))
    ]
    try:
        ELEMENTWISE[row].infer(*types)
    except DtypeError:
        return False
    return True


def random_values(rng: np.random.Generator, type: ArrayType) -> Any:
    """Numbers of a type: mostly moderate, some special."""
    if type.dtype.kind == "b":
        x = rng.integers(0, 2, type.shape) == 1
    elif type.dtype.kind in "iu":
        low = 0 if type.dtype.kind == "u" else -9
        x = rng.integers(low, 10, type.shape)
    else:
        x = np.round(rng.normal(0, 1.5, type.shape), rng.integers(1, 17))
        x = np.where(rng.uniform(size=type.shape) < 0.04, rng.choice([0.0, -0.0, np.inf, -np.inf, np.nan, 1e30]), x)
    return np.asarray(x).astype(type.dtype)


class _Writer:
    """Draws one operation after another on the values there are."""

    def __init__(self, draw: st.DrawFn, values: list[Any], smooth: bool) -> None:
        self.draw = draw
        self.values = values
        self.smooth = smooth

    def one_of(self, options: Any) -> Any:
        return self.draw(st.sampled_from(list(options)))

    def pick(self, ok: Any = lambda x: True) -> Any:
        """A value there is; None if none fits. Recent ones come more often."""
        fitting = [x for x in self.values if ok(x)]
        return self.one_of(fitting[-4:] if self.draw(st.booleans()) else fitting) if fitting else None

    def like(self, x: Any) -> Any:
        """A value of the type of `x`: one there is, converted or reshaped, or a constant."""
        same = [y for y in self.values if y.dtype == x.dtype and y.shape == x.shape]
        wide = [y for y in self.values if y.dtype == x.dtype and y is not x and _broadcasts(y.shape, x.shape)]
        kind = self.draw(st.integers(0, 3))
        if kind == 0:
            number = self.draw(st.integers(0, 3))
            return np.broadcast_to(np.array(number, x.dtype), x.shape)[()]
        if kind == 1 and wide:
            return broadcast(self.one_of(wide), x.shape)
        return self.one_of(same)

    def step(self) -> Any:
        return getattr(self, self.one_of(STEPS))()

    # each step returns a new value, or None if it finds no operand

    def elementwise(self) -> Any:
        x = self.pick()
        rows = [r for r in ROWS if row_defined(r, x.dtype) and r != "select" and not (self.smooth and r in ROUGH)]
        row = self.one_of(rows)
        if row in ("left_shift", "right_shift", "pow") and x.dtype.kind in "iu":
            return bind(ELEMENTWISE[row], x, np.broadcast_to(np.array(2, x.dtype), x.shape)[()])
        return bind(ELEMENTWISE[row], x, *(self.like(x) for _ in ROWS[row].partials[1:]))

    def select(self) -> Any:
        c = self.pick(lambda x: x.dtype == np.bool_)
        x = c if c is None else self.pick(lambda x: x.shape == c.shape)
        return None if c is None else bind(ELEMENTWISE["select"], c, x, self.like(x))

    def convert(self) -> Any:
        return bind(Convert(self.one_of(DTYPES)), self.pick())

    def broadcast(self) -> Any:
        x = self.pick()
        shape = (2, *(3 if n == 1 else n for n in x.shape)) if len(x.shape) < 3 else x.shape
        return broadcast(x, shape) if np.prod(shape) <= MAX_SIZE else None

    def reshape(self) -> Any:
        x = self.pick()
        return reshape(x, self.one_of([(x.size,), (*x.shape, 1), x.shape[::-1], (1, x.size)]))

    def transpose(self) -> Any:
        x = self.pick()
        return bind(Transpose(tuple(self.draw(st.permutations(range(x.ndim))))), x)

    def flip(self) -> Any:
        x = self.pick()
        return bind(Flip(self.axes(x)), x)

    def axes(self, x: Any) -> tuple[int, ...]:
        return tuple(i for i in range(x.ndim) if self.draw(st.booleans()))

    def slice(self) -> Any:
        x = self.pick()
        bounds = [sorted((self.draw(st.integers(0, n)), n if self.draw(st.booleans()) else n // 2)) for n in x.shape]
        steps = tuple(self.draw(st.integers(1, 2)) for _ in x.shape)
        return bind(Slice(tuple(a for a, _ in bounds), tuple(b for _, b in bounds), steps), x)

    def pad(self) -> Any:
        x = self.pick(lambda x: x.size < 20)
        if x is None:
            return None
        widths = [tuple(self.draw(st.integers(0, 1)) for _ in x.shape) for _ in range(3)]
        return bind(Pad(*widths), x, np.array(self.draw(st.integers(0, 2)), x.dtype)[()])

    def concatenate(self) -> Any:
        x = self.pick(lambda x: x.ndim > 0)
        return None if x is None or x.size > 30 else bind(Concatenate(self.one_of(range(x.ndim))), x, self.like(x), x)

    def sum(self) -> Any:
        x = self.pick(lambda x: x.dtype != np.bool_)
        return None if x is None else bind(Sum(self.axes(x)), x)

    def reduce(self) -> Any:
        x = self.pick()
        kinds = ["any", "all"] if x.dtype == np.bool_ else ["prod"] + (["max", "min"] if 0 not in x.shape else [])
        return bind(Reduce(self.one_of(kinds), self.axes(x)), x)

    def arg_reduce(self) -> Any:
        x = self.pick(lambda x: x.ndim > 0 and 0 not in x.shape)
        return None if x is None else bind(ArgReduce(self.one_of(["max", "min"]), self.one_of(range(x.ndim))), x)

    def cumsum(self) -> Any:
        x = self.pick(lambda x: x.ndim > 0 and x.dtype != np.bool_)
        return None if x is None else bind(CumSum(self.one_of(range(x.ndim)), self.draw(st.booleans())), x)

    def argsort(self) -> Any:
        x = self.pick(lambda x: x.ndim > 0)
        return None if x is None else bind(ArgSort(self.one_of(range(x.ndim))), x)

    def dot(self) -> Any:
        a = self.pick(lambda x: x.ndim > 0)
        if a is None:
            return None
        fits = [
            (b, i, j)
            for b in self.values
            for i in range(a.ndim)
            for j in range(b.ndim)
            if b.dtype == a.dtype and a.shape[i] == b.shape[j] and a.size * b.size <= 400
        ]
        if not fits:
            return None
        b, i, j = self.one_of(fits)
        batch = [
            (k, m)
            for k in range(a.ndim)
            for m in range(b.ndim)
            if k != i and m != j and a.shape[k] == b.shape[m] and self.draw(st.booleans())
        ][:1]
        op = Dot((i,), (j,), tuple(k for k, _ in batch), tuple(m for _, m in batch))
        out = op.infer(a.type, b.type)
        return bind(op, a, b) if out.ndim <= 4 and out.size <= MAX_SIZE else None

    def index(self, extent: int) -> Any:
        """An index array that is in bounds: an integer value modulo the extent, sometimes counted from the end."""
        x = self.pick(lambda x: x.dtype.kind in "iu" and x.ndim < 3 and x.size <= 12)
        if x is None:
            return None
        wide = bind(
            ELEMENTWISE["remainder"],
            bind(Convert(np.dtype(np.int64)), x),
            np.broadcast_to(np.int64(extent), x.shape)[()],
        )
        back = self.draw(st.booleans())
        return bind(ELEMENTWISE["sub"], wide, np.broadcast_to(np.int64(extent), x.shape)[()]) if back else wide

    def gather(self) -> Any:
        x = self.pick(lambda x: x.ndim > 0 and x.shape[0] > 0)
        index = None if x is None else self.index(x.shape[0])
        return None if index is None or index.size * x.size > 4 * MAX_SIZE else bind(Gather(), x, index)

    def scatter(self) -> Any:
        x = self.pick(lambda x: x.ndim > 0 and x.shape[0] > 0)
        index = None if x is None else self.index(x.shape[0])
        if index is None or index.size * x.size > 4 * MAX_SIZE:
            return None
        updates = bind(Gather(), x, bind(Flip(tuple(range(index.ndim))), index))
        add = self.draw(st.booleans()) and x.dtype != np.bool_
        return bind(ScatterAdd() if add else Scatter(), x, updates, index)


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    return len(shape) <= len(to) and all(n in (1, m) for n, m in zip(shape[::-1], to[::-1], strict=False))


ROUGH = frozenset(["floor", "ceil", "rint", "trunc", "floor_divide", "remainder", "fmod", "sign", "signbit"])
"""Rows that jump: rounding differences before them become arbitrarily large."""

STEPS = (
    *["elementwise"] * 5,
    *[
        "select",
        "convert",
        "broadcast",
        "reshape",
        "transpose",
        "flip",
        "slice",
        "pad",
        "concatenate",
        "sum",
        "reduce",
        "arg_reduce",
        "cumsum",
        "argsort",
        "dot",
    ],
    *["gather", "scatter", "sum", "dot", "select"],
)


@st.composite
def programs(draw: st.DrawFn, max_steps: int = 25) -> tuple[Graph, list[Any]]:
    """A graph whose outputs are all its equations' results, and inputs for it."""
    types = [
        array_type(draw(st.sampled_from(SHAPES)), draw(st.sampled_from(DTYPES))) for _ in range(draw(st.integers(1, 3)))
    ]
    types.append(array_type((3,), np.dtype(np.int64)))
    steps = draw(st.integers(3, max_steps))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def write(*tracers: Any) -> list[Any]:
        writer = _Writer(draw, list(tracers), smooth=False)
        for _ in range(steps):
            value = writer.step()
            if type(value) is Tracer and value.size <= 200:
                writer.values.append(value)
        return writer.values

    graph, _ = trace(write, types, purpose="a random program", names=[f"x{i}" for i in range(len(types))])
    return graph, [random_values(rng, t) for t in types]


def same_bits(x: Any, y: Any) -> bool:
    """Equal type and values; nan equals nan, and -0.0 differs from 0.0."""
    x, y = np.asarray(x), np.asarray(y)
    if type_of(x) != type_of(y):
        return False
    if x.dtype.kind != "f":
        return bool(np.array_equal(x, y))
    nan = np.isnan(x)
    return bool(np.array_equal(nan, np.isnan(y)) and np.all(nan | ((x == y) & (np.signbit(x) == np.signbit(y)))))
