"""Loops, branches and mapped functions inside random programs.

Each entry of REGIONS writes functions whose statements are random and which may read values around them, and their use.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fungrad.testing.program_writer import Value, Writer

MAX_STEPS = 4
"""How often a loop runs at most."""


def listed(values: Sequence[Value]) -> str:
    """Names between commas."""
    return ", ".join(x.name for x in values)


def pattern(values: Sequence[Value]) -> str:
    """Values as they are written on both sides of `=`: a tuple, one alone, or None."""
    return f"({listed(values)})" if len(values) > 1 else listed(values) or "None"


def unpacked(parameter: str, values: Sequence[Value]) -> list[str]:
    """The line that takes a parameter apart."""
    return [f"{pattern(values)} = {parameter}"] if values else []


def types_of(w: Writer, values: Sequence[Value]) -> list[Value]:
    """New values of the types of others."""
    return [w.new(x.shape, x.dtype) for x in values]


def result(scope: Writer, kinds: str = "f") -> Value:
    """A value that a function returns."""
    found = scope.pick(kinds)
    assert found is not None
    return found


def _next_carry(scope: Writer, carry: Value) -> Value:
    """A value that a step makes of a carry: of its type, and bounded."""
    if carry.kind == "f":
        found = scope.let("0.6 * np.tanh({0}) + 0.3 * {1}", scope.like(result(scope), carry), carry)
    else:
        other = scope.pick(carry.kind, lambda x: x.shape == carry.shape)
        assert other is not None
        found = scope.let("({0} + {1}) % 7", other, carry)
    assert found is not None
    return found


def scan(w: Writer) -> None:
    """A loop over rows, in either direction."""
    carries = w.some("fi")
    rows = []
    if (x := w.pick("ffib", lambda x: x.ndim > 0 and x.shape[0] <= MAX_STEPS)) is not None:
        rows = [x]
        if w.sometimes():
            rows.append(w.pick("fib", lambda y: y.ndim > 0 and y.shape[0] == x.shape[0]) or x)
    length = rows[0].shape[0] if rows else w.number(1, MAX_STEPS)
    inner, inner_rows = types_of(w, carries), [w.new(x.shape[1:], x.dtype) for x in rows]
    scope = w.inner([*inner, *inner_rows], loop=True)
    after = [_next_carry(scope, c) for c in inner]
    ys = [result(scope, "fib") for _ in range(w.number(0, 2))]
    ys = [y for y in ys if w.fits((length, *y.shape))]
    lines = [*unpacked("carry", inner), *unpacked("row", inner_rows)]
    f = w.function(scope, "carry, row", f"{pattern(after)}, {pattern(ys)}", *lines)
    options = w.one_of(("", ", reverse=True", ", unroll=2")) + ("" if rows else f", length={length}")
    results, stacked = types_of(w, carries), [w.new((length, *y.shape), y.dtype) for y in ys]
    call = f"lax.scan({f}, {pattern(carries)}, {pattern(rows)}{options})"
    w.define([*results, *stacked], call, f"{pattern(results)}, {pattern(stacked) if ys else '_'}")


def fori_loop(w: Writer) -> None:
    """A counted loop; the bound is a number or a traced integer."""
    carries = w.some("fi")
    bound = w.pick("i", lambda x: not x.ndim) if w.sometimes() else None
    i, inner = w.new((), np.int64), types_of(w, carries)
    scope = w.inner([i, *inner], loop=True)
    after = [_next_carry(scope, c) for c in inner]
    f = w.function(scope, f"{i.name}, carry", pattern(after), *unpacked("carry", inner))
    upper = str(w.number(0, MAX_STEPS)) if bound is None else f"{bound.name} % {MAX_STEPS + 1}"
    results = types_of(w, carries)
    w.define(results, f"lax.fori_loop(0, {upper}, {f}, {pattern(carries)})", pattern(results))


def while_loop(w: Writer) -> None:
    """A loop with a condition, which a count of steps ends at the latest."""
    carries = w.some("fi")
    i, inner = w.new((), np.int64), types_of(w, carries)
    test = Writer(w.draw, [], w.names, w.narrow)
    c = inner[0]
    go_on = f"({i.name} < {w.number(0, MAX_STEPS)}) & (np.mean({c.name}) < {w.one_of((0.83, 0.29, -0.17))})"
    condition = w.function(test, "carry", go_on, *unpacked("carry", [i, *inner]))
    i, inner = w.new((), np.int64), types_of(w, carries)
    scope = w.inner([i, *inner], loop=True)
    after = [_next_carry(scope, c) for c in inner]
    returns = f"({i.name} + 1, {listed(after)})"
    body = w.function(scope, "carry", returns, *unpacked("carry", [i, *inner]))
    steps, results = w.new((), np.int64), types_of(w, carries)
    start = f"(0, {listed(carries)})"
    w.define([steps, *results], f"lax.while_loop({condition}, {body}, {start})", pattern([steps, *results]))


def _branches(w: Writer, count: int, operands: Sequence[Value]) -> tuple[list[str], list[Value]]:
    """Functions of the operands with results of the same types."""
    names: list[str] = []
    types: list[Value] = []
    for _ in range(count):
        inner = types_of(w, operands)
        scope = w.inner(inner)
        if not types:
            types = [result(scope) for _ in range(w.number(1, 2))]
            results = types
        else:
            results = [scope.like(result(scope), t) for t in types]
        names.append(w.function(scope, listed(inner), pattern(results)))
    return names, types


def cond(w: Writer) -> None:
    """One of two functions, chosen by a condition."""
    pred = w.pick("b", lambda x: not x.ndim)
    operands = w.some("fib")
    text = f"np.sum({result(w).name}) < {w.one_of((0.37, -0.71, 1.9))}" if pred is None else pred.name
    (yes, no), types = _branches(w, 2, operands)
    results = types_of(w, types)
    w.define(results, f"lax.cond({text}, {yes}, {no}, {listed(operands)})", pattern(results))


def switch(w: Writer) -> None:
    """One of three functions; the index is clamped."""
    index = w.pick("i", lambda x: not x.ndim)
    if index is None:
        index = w.let("np.floor(np.sum({0}) + 0.23).astype(np.int64)", result(w))
        assert index is not None
    operands = w.some("fib")
    names, types = _branches(w, 3, operands)
    results = types_of(w, types)
    call = f"lax.switch({index.name} % 5 - 1, [{', '.join(names)}], {listed(operands)})"
    w.define(results, call, pattern(results))


def row_map(w: Writer) -> None:
    """A function of each row, one after another."""
    x = w.pick("fib", lambda x: x.ndim > 0 and x.shape[0] <= MAX_STEPS)
    if x is None:
        return
    row = w.new(x.shape[1:], x.dtype)
    scope = w.inner([row], loop=True)
    y = result(scope, "fib")
    if w.fits((x.shape[0], *y.shape)):
        f = w.function(scope, row.name, y.name)
        w.define([w.new((x.shape[0], *y.shape), y.dtype)], f"lax.map({f}, {x.name})")


def vmap(w: Writer) -> None:
    """A function of many examples at once, over any axes."""
    x = w.pick("fib", lambda x: x.ndim > 0)
    if x is None:
        return
    axis = w.number(-x.ndim, x.ndim - 1)
    size = x.shape[axis]
    operands, axes = [x], [axis]
    if (y := w.pick("fib")) is not None and w.sometimes():
        fitting = [None, *(i for i in range(y.ndim) if y.shape[i] == size)]
        operands.append(y)
        axes.append(w.one_of(fitting))
    inner = [
        w.new(x.shape if a is None else np.delete(x.shape, a).tolist(), x.dtype)
        for x, a in zip(operands, axes, strict=True)
    ]
    scope = w.inner(inner)
    y = result(scope, "ffib")
    if not w.fits((size, *y.shape)):
        return
    out_axis = w.number(0, y.ndim)
    f = w.function(scope, listed(inner), y.name)
    shape = [*y.shape[:out_axis], size, *y.shape[out_axis:]]
    out = out_axis - len(shape) if w.sometimes() else out_axis
    in_axes = f"({', '.join(map(str, axes))},)"
    call = f"vmap({f}, in_axes={in_axes}, out_axes={out})({listed(operands)})"
    w.define([w.new(shape, y.dtype)], call)


REGIONS = (cond, scan, vmap, fori_loop, while_loop, switch, row_map)
