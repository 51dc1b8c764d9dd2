"""Writes random programs: one statement after another, on the values there are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from hypothesis import strategies as st

from fungrad.testing import program_operations as operations
from fungrad.testing.program_source import Assign, Define, Statement, fungrad_names

MAX_SIZE, MAX_NDIM = 40, 3


@dataclass(frozen=True, slots=True)
class Value:
    """A value that statements can name."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def kind(self) -> str:
        """`f`, `i` or `b`."""
        return self.dtype.kind


class Writer:
    """The statements of one scope, and the values that it can see.

    - draw: Hypothesis's.
    - values: those of enclosing scopes first.
    - narrow: whether the program computes in float32, too.
    - depth: of functions around the scope.
    - in_loop: whether one of these is the body of a loop.
    """

    def __init__(
        self,
        draw: st.DrawFn,
        values: Sequence[Value],
        names: Iterator[int],
        narrow: bool,
        depth: int = 0,
        in_loop: bool = False,
    ) -> None:
        self.draw = draw
        self.values = list(values)
        self.names = names
        self.narrow = narrow
        self.depth = depth
        self.in_loop = in_loop
        self.statements: list[Statement] = []

    # -- drawing

    def one_of(self, options: Sequence[Any]) -> Any:
        """One of the options; Hypothesis shrinks towards the first."""
        return self.draw(st.sampled_from(options))

    def number(self, low: int, high: int) -> int:
        """An integer, both bounds included."""
        return self.draw(st.integers(low, high))

    def sometimes(self) -> bool:
        """True or False."""
        return self.draw(st.booleans())

    def pick(self, kinds: str = "f", ok: Callable[[Value], bool] = lambda x: True) -> Value | None:
        """A value of one of the kinds; None if none fits. Recent ones come more often."""
        fitting = [x for x in reversed(self.values) if x.kind in kinds and ok(x)]
        if not fitting:
            return None
        found: Value = self.one_of(fitting[:3] if self.number(0, 2) else fitting)
        return found

    def some(self, kinds: str = "f", most: int = 2) -> list[Value]:
        """Between one value and `most`; there always is a float."""
        found = [self.pick(kinds if i else "f") for i in range(self.number(1, most))]
        return [x for x in found if x is not None]

    # -- writing

    def name(self, letter: str = "v") -> str:
        """A name that no other scope uses either."""
        return f"{letter}{next(self.names)}"

    def new(self, shape: Sequence[int], dtype: Any) -> Value:
        """A value of a name of its own, not yet defined."""
        return Value(self.name(), tuple(shape), np.dtype(dtype))

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether values of a shape are small enough."""
        return len(shape) <= MAX_NDIM and 0 < math.prod(shape) <= MAX_SIZE

    def let(self, text: str, *operands: Value) -> Value | None:
        """Name the result of an operation; None, and nothing is written, if it is too large."""
        found = result_type(text, tuple((x.shape, x.dtype) for x in operands))
        if not self.fits(found[0]):
            return None
        return self.define([self.new(*found)], text.format(*(x.name for x in operands)))[0]

    def define(self, targets: list[Value], expression: str, pattern: str | None = None) -> list[Value]:
        """Name the results of an expression whose types are known."""
        names = tuple(x.name for x in targets)
        self.statements.append(Assign(names, ", ".join(names) if pattern is None else pattern, expression))
        self.values += targets
        return targets

    def like(self, x: Value, type: Value) -> Value:
        """`x`, a float, with the shape and dtype of another value."""
        text = "{0}"
        if x.shape != type.shape:
            text = f"np.broadcast_to(np.mean({{0}}), {type.shape})" if type.shape else "np.mean({0})"
        if x.dtype != type.dtype:
            text += f".astype(np.{type.dtype.name})"
        found = x if text == "{0}" else self.let(text, x)
        assert found is not None
        return found

    def inner(self, parameters: Sequence[Value], closed: bool = False, loop: bool = False) -> Writer:
        """The scope of a function, with a few statements.

        It sees nothing outside if it is `closed`; it may be the body of a loop.
        """
        values = [*([] if closed else self.values), *parameters]
        scope = Writer(self.draw, values, self.names, self.narrow, self.depth + 1, self.in_loop or loop)
        for _ in range(self.number(1, 4)):
            scope.step()
        return scope

    def function(self, scope: Writer, parameters: str, returns: str, *unpacking: str) -> str:
        """Define a function whose statements are those of `scope`; its name."""
        name = self.name("f")
        self.statements.append(
            Define(name, (f"def {name}({parameters}):", *unpacking), tuple(scope.statements), returns)
        )
        return name

    # -- one operation

    def step(self) -> None:
        """Write an operation, or a function and its use."""
        kind = self.number(0, 9)
        if kind >= 8 and self.depth < 2:
            self.one_of(_functions())(self)
        elif kind >= 6:
            self.structural()
        else:
            self.one_of((self.unary, self.binary, self.binary, self.other_kinds, self.contraction))()

    def unary(self) -> None:
        """A function of each element of a float."""
        x = self.pick()
        if x is not None:
            self.let(self.one_of(operations.UNARY), x)

    def binary(self) -> None:
        """A function of two floats that broadcast together."""
        self.pair("f", operations.BINARY)

    def pair(self, kind: str, texts: Sequence[str]) -> None:
        """An operation on two values that broadcast together."""
        x = self.pick(kind)
        if x is None:
            return
        y = self.pick(kind, lambda y: broadcasts(x.shape, y.shape))
        assert y is not None
        self.let(self.one_of(texts), x, y)

    def other_kinds(self) -> None:
        """Integers and booleans: made from floats, combined, chosen with."""
        act = self.one_of(("compare", "choose", "convert", "combine", "index", "convert"))
        x = self.pick("fib")
        if act == "compare" and x is not None:
            self.let(self.one_of(operations.TO_BOOLEAN[x.kind]), x)
        elif act == "convert" and x is not None:
            texts = operations.CONVERSIONS[x.kind]
            if x.kind == "f" and self.narrow:
                texts = (f"{{0}}.astype(np.{'float64' if x.dtype == np.float32 else 'float32'})", *texts)
            self.let(self.one_of(texts), x)
        elif act == "combine":
            if self.sometimes():
                self.pair("b", operations.BOOLEANS)
            elif self.sometimes():
                self.pair("i", operations.INTEGERS)
            elif (x := self.pick("i")) is not None:
                self.let(self.one_of(operations.INTEGER), x)
        elif act == "choose":
            c = self.pick("b")
            x = None if c is None else self.pick("f", lambda x: broadcasts(x.shape, c.shape))
            if c is not None and x is not None:
                self.let(self.one_of(("np.where({0}, {1}, np.sin({1}))", "np.where({0}, 0.31, {1})")), c, x)
        elif act == "index":
            i, x = self.pick("i"), self.pick("f", lambda x: x.ndim > 0)
            if i is not None and x is not None:
                axis = self.number(0, x.ndim - 1)
                self.let(self.one_of(operations.indexed(axis, x.shape[axis])), x, i)

    def contraction(self) -> None:
        """A product of two arrays."""
        x = self.pick("f", lambda x: x.ndim > 0)
        y = None if x is None else self.pick("f", lambda y: bool(operations.contractions(x.shape, y.shape)))
        if x is not None and y is not None:
            self.let(self.one_of(operations.contractions(x.shape, y.shape)), x, y)

    def structural(self) -> None:
        """An operation on the axes of an array, or two arrays joined."""
        x = self.pick("ffib")
        assert x is not None
        if x.ndim and self.number(0, 7) == 0:
            y = self.pick(x.kind, lambda y: y.shape == x.shape)
            assert y is not None
            name, axis = self.one_of(("concatenate", "stack")), self.number(0, x.ndim - 1)
            self.let(f"np.{name}([{{0}}, {{1}}], axis={axis})", x, y)
            return
        text = self.one_of(operations.STRUCTURAL)(self.draw, x)
        if text is not None:
            self.let(text, x)


def broadcasts(a: Sequence[int], b: Sequence[int]) -> bool:
    """Whether two shapes broadcast together."""
    return all(m == n or 1 in (m, n) for m, n in zip(reversed(a), reversed(b), strict=False))


def _functions() -> tuple[Callable[[Writer], None], ...]:
    """The writers of functions, which write statements themselves."""
    from fungrad.testing.program_regions import REGIONS
    from fungrad.testing.program_transforms import TRANSFORMS

    return (*REGIONS, *TRANSFORMS)


@cache
def _names() -> dict[str, Any]:
    return fungrad_names()


@cache
def result_type(text: str, types: tuple[tuple[tuple[int, ...], np.dtype[Any]], ...]) -> tuple[Any, Any]:
    """The shape and dtype of what NumPy makes of an operation, found by running it on ones."""
    operands = {f"x{i}": np.ones(shape, dtype)[()] for i, (shape, dtype) in enumerate(types)}
    with np.errstate(all="ignore"):
        result = np.asarray(eval(text.format(*operands), _names(), operands))
    return result.shape, result.dtype
