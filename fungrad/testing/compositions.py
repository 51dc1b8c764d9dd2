"""`check_compositions`: one function under every composition of transformations, at many examples.

Of a function f with results y, and a number s, two functions are transformed:

    F(x, s) = s y        and        phi(x, s) = sum of w F * F, with fixed random w,

so that every composition has something to differentiate twice, also where f is linear, or constant, or takes integers.
First derivatives are compared with differences of F, second ones with differences of first ones and with each
other, batches with a loop of calls, and what is compiled with what is interpreted. Programs are compiled once for all
examples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fungrad import tree
from fungrad.api import grad, make_graph, vjp
from fungrad.errors import ArgumentError
from fungrad.evaluate import evaluate
from fungrad.forward import jvp
from fungrad.ir.types import type_of
from fungrad.jacobians import hessian
from fungrad.jitted import jit
from fungrad.testing.compare import DEFAULTS, compare_values, size_of_inner
from fungrad.testing.differences import Slope, slope
from fungrad.testing.leaves import arguments, result
from fungrad.testing.values import differentiable, random_direction, random_like
from fungrad.vmapped import vmap

Function = Callable[..., Any]
SAME = {np.dtype(np.float64): 1e-10, np.dtype(np.float32): 1e-5}  # of two ways, relative to the largest number


def check_compositions(
    f: Function, examples: Sequence[Sequence[Any]], smooth: Function | None = None, seed: int = 0
) -> None:
    """Check a function under f, grad, jvp, vjp, vmap, jit, jit(grad), grad(jit), vmap(grad), grad(vmap), jvp(vjp),
    vjp(vjp), jit(vmap(grad)) and hessian.

    Args:
        f: a function of pytrees of arrays, written in NumPy, that returns a pytree of arrays; floats are float64. It is
            smooth at the examples.
        examples: tuples of its arguments, all of the same structures, shapes and dtypes.
        smooth: the function whose derivative is meant, where that is not `f`; for example the identity for a rounding
            with a straight-through derivative.
        seed: of directions and weights.

    Raises:
        AssertionError: a composition is wrong; the message says which, at which example, and which element.
        ArgumentError: there is no example, or two have different types.

    >>> check_compositions(lambda x, n: np.sin(x) * n, [(np.array([0.1, 0.2]), 2), (np.array([1.0, 2.0]), 3)])
    """
    if not examples:
        raise ArgumentError("check_compositions: give examples, each a tuple of arguments of the function.")
    rng = np.random.default_rng(seed)
    _, structure, paths = arguments("check_compositions", f, examples[0])
    rows = [[*arguments("check_compositions", f, args)[0], np.float64(rng.uniform(0.5, 1.5))] for args in examples]
    types = list(map(type_of, rows[0]))
    for number, row in enumerate(rows):
        if list(map(type_of, row)) != types:
            raise ArgumentError(f"check_compositions: example {number} has the types {row}, the first has {types}.")
    _Compositions(f, smooth or f, structure, [*paths, "s"], rows, rng).check()


class _Compositions:
    """F and phi of the module's docstring, over flat arguments, with what is compared."""

    def __init__(
        self,
        f: Function,
        smooth: Function,
        structure: tree.TreeDef,
        paths: Sequence[str],
        rows: Sequence[Sequence[Any]],
        rng: np.random.Generator,
    ) -> None:
        self.f = f
        self.smooth = smooth
        self.structure = structure
        self.paths = paths
        self.rows = rows
        self.argnums = tuple(i for i, x in enumerate(rows[0]) if differentiable(x))
        self.names = [paths[i] for i in self.argnums]
        self.dtypes = [x.dtype for x in self.results(f, rows[0]) if differentiable(x)]
        self.rounding = max((SAME[dtype] for dtype in self.dtypes), default=SAME[np.dtype(np.float64)])
        outs = self.F(*rows[0])
        self.out_names = [f"result {i}" for i in range(len(outs))]
        self.weights = [random_like(y, rng) for y in outs]
        self.rng = rng

    def results(self, f: Function, xs: Sequence[Any]) -> list[Any]:
        return result(f, f(*tree.unflatten(self.structure, xs[:-1])))[0]

    def F(self, *xs: Any) -> list[Any]:  # noqa: N802  as in the module's docstring
        return [xs[-1] * _as_float(y) for y in self.results(self.f, xs)]

    def smooth_F(self, row: Sequence[Any]) -> Function:  # noqa: N802
        """F near a row, as its derivative sees it."""
        if self.smooth is self.f:
            return self.F
        start, value = (list(map(_as_float, self.results(f, row))) for f in (self.smooth, self.f))

        def moved(*xs: Any) -> list[Any]:
            ys = map(_as_float, self.results(self.smooth, xs))
            return [xs[-1] * (v + (y - y0)) for v, y, y0 in zip(value, ys, start, strict=True)]

        return moved

    def phi(self, *xs: Any) -> Any:
        return self.total(self.F(*xs))

    def total(self, ys: Sequence[Any]) -> Any:
        return sum(np.sum(w * y * y) for w, y in zip(self.weights, ys, strict=True))

    def floats(self, row: Sequence[Any]) -> list[Any]:
        return [row[i] for i in self.argnums]

    def around(self, row: Sequence[Any], f: Function) -> Function:
        """A function of all arguments as one of the floats."""

        def of_floats(*xs: Any) -> Any:
            full = list(row)
            for i, x in zip(self.argnums, xs, strict=True):
                full[i] = x
            return f(*full)

        return of_floats

    def check(self) -> None:
        values = [self.F(*row) for row in self.rows]
        gradients = [list(grad(self.phi, self.argnums)(*row)) for row in self.rows]
        for number, (row, value, gradient) in enumerate(zip(self.rows, values, gradients, strict=True)):
            self.number = number
            self._check_first(row, value, gradient)
            self._check_second(row)
        self._check_compiled(values, gradients)
        self._check_batches(values, gradients)

    def same(self, name: str, found: Sequence[Any], expected: Sequence[Any], names: Sequence[str]) -> None:
        compare_values(f"{name}, example {self.number}", found, expected, names, self.rounding)

    def near(self, name: str, found: Any, expected: Slope, scale: Any) -> None:
        """As `same`, for a vector of differences."""
        bound = DEFAULTS.bound(self.dtypes, np.abs(expected.value) + scale)
        off = np.abs(found - expected.value)
        if not np.all((off <= bound + expected.error) & (expected.error <= 10 * bound)):
            raise AssertionError(
                f"{name}, example {self.number}: {found}, expected {expected.value} by central differences (step "
                f"{expected.step}, error about {expected.error}); arguments {self.rows[self.number]}"
            )

    def _check_first(self, row: Sequence[Any], value: Sequence[Any], gradient: Sequence[Any]) -> None:
        """f, jvp, vjp and grad."""
        if self.number == 0:
            self.graph = make_graph(self.F)(*row)
        self.same("f", evaluate(self.graph, *row), value, self.out_names)
        xs, F, smooth_F = self.floats(row), self.around(row, self.F), self.around(row, self.smooth_F(row))
        direction = [random_direction(x, self.rng) for x in xs]

        def at(s: float) -> Any:
            ys = smooth_F(*(x + s * v for x, v in zip(xs, direction, strict=True)))
            return np.array([*_vector(ys), size_of_inner(self.weights, ys)[0], self.total(ys)])

        expected = slope(at, lambda v: 0.1 * DEFAULTS.bound(self.dtypes, np.abs(v)))
        out, pushed = jvp(F, xs, direction)
        self.same("jvp", out, value, self.out_names)
        tangents = _vector(pushed)
        self.near("jvp", tangents, _part(expected, slice(0, -2)), 0.1 * np.max(np.abs(tangents), initial=0.0))
        out, pullback = vjp(F, *xs)
        self.same("vjp", out, value, self.out_names)
        found, scale = size_of_inner(pullback(self.weights), direction)
        self.near("vjp", np.array([found]), _part(expected, slice(-2, -1)), scale)
        found, scale = size_of_inner(gradient, direction)
        self.near("grad", np.array([found]), _part(expected, slice(-1, None)), scale)

    def _check_second(self, row: Sequence[Any]) -> None:
        """jvp(vjp), vjp(vjp) and hessian; second derivatives are symmetric."""
        xs = self.floats(row)
        F, phi = self.around(row, self.F), self.around(row, self.phi)
        direction = [random_direction(x, self.rng) for x in xs]
        every = tuple(range(len(xs)))

        smooth_F = self.around(row, self.smooth_F(row))

        def pulled(*ys: Any) -> list[Any]:
            return list(vjp(F, *ys)[1](self.weights))

        def at(s: float) -> Any:
            moved = (x + s * v for x, v in zip(xs, direction, strict=True))
            return _vector(vjp(smooth_F, *moved)[1](self.weights))

        expected = slope(at, lambda v: 0.1 * DEFAULTS.bound(self.dtypes, np.abs(v)))
        _, tangents = jvp(pulled, xs, direction)
        for name, found in (("jvp(vjp)", tangents), ("vjp(vjp)", vjp(pulled, *xs)[1](direction))):
            vector = _vector(found)
            self.near(name, vector, expected, 0.1 * np.max(np.abs(vector), initial=0.0))
        _, along = jvp(grad(phi, every), xs, direction)
        products = [
            sum(np.tensordot(block, v, np.ndim(v)) for block, v in zip(line, direction, strict=True))
            for line in hessian(phi, every)(*xs)
        ]
        self.same("hessian", products, along, self.names)

    def _check_compiled(self, values: Sequence[Any], gradients: Sequence[Any]) -> None:
        """jit, jit(grad), grad(jit)."""
        compiled, compiled_grad = jit(self.F), jit(grad(self.phi, self.argnums))
        through = grad(lambda *xs: self.total(compiled(*xs)), self.argnums)
        with np.errstate(all="ignore"):
            for number, (row, value, gradient) in enumerate(zip(self.rows, values, gradients, strict=True)):
                self.number = number
                self.same("jit", compiled(*row), value, self.out_names)
                self.same("jit(grad)", compiled_grad(*row), gradient, self.names)
                self.same("grad(jit)", through(*row), gradient, self.names)

    def _check_batches(self, values: Sequence[Any], gradients: Sequence[Any]) -> None:
        """vmap, vmap(grad), grad(vmap), jit(vmap(grad))."""
        batch = [np.stack(xs) for xs in zip(*self.rows, strict=True)]
        gradient = grad(self.phi, self.argnums)

        def all_totals(*xs: Any) -> Any:
            return self.total(vmap(self.F)(*xs))

        with np.errstate(all="ignore"):
            found = {
                "vmap(grad)": vmap(gradient)(*batch),
                "grad(vmap)": grad(all_totals, self.argnums)(*batch),
                "jit(vmap(grad))": jit(vmap(gradient))(*batch),
            }
            results = vmap(self.F)(*batch)
        for number, (value, expected) in enumerate(zip(values, gradients, strict=True)):
            self.number = number
            self.same("vmap", [x[number] for x in results], value, self.out_names)
            for name, rows in found.items():
                self.same(name, [x[number] for x in rows], expected, self.names)


def _as_float(y: Any) -> Any:
    """A result in float64; of large integers, which are no numbers to take differences of, the last bits."""
    return (y % 8 if y.dtype.kind in "iu" else y).astype(np.float64)


def _vector(values: Sequence[Any]) -> Any:
    return np.concatenate([np.zeros(0), *(np.asarray(x, np.float64).reshape(-1) for x in values)])


def _part(whole: Slope, where: slice) -> Slope:
    return Slope(*(x[where] for x in whole))
