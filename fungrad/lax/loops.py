"""Loops: `scan`, `map`, `fori_loop`, `while_loop`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fungrad import tree
from fungrad.arguments import Leaves, check_callable, flatten_arguments, function_name
from fungrad.context import stepwise
from fungrad.errors import ArgumentError, ShapeError, TreeError
from fungrad.ir.types import BOOL, array_type, type_of
from fungrad.lax.ahead import products_ahead
from fungrad.lax.bodies import Signature, known_int, trace_body, trace_step
from fungrad.lax.stepwise import is_known, not_a_pair, scan_by_steps, while_by_steps
from fungrad.passes import optimize
from fungrad.regions.scan import Scan
from fungrad.regions.while_loop import While
from fungrad.results import own
from fungrad.trace import STATIC, Tracer, bind


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int = 1,
) -> tuple[Any, Any]:
    """Run a step over the leading axis of arrays, carrying a value along.

    With lists instead of arrays this is

        carry, ys = init, []
        for x in xs:
            carry, y = f(carry, x)
            ys.append(y)

    Args:
        f: `f(carry, x)` returns `(carry, y)`. It is traced once; the carry keeps its structure, shapes and dtypes.
        init: the first carry, a pytree of arrays and numbers.
        xs: a pytree of arrays of one leading extent, or None.
        length: the number of steps; needed only where `xs` has no arrays.
        reverse: whether to go from the last row to the first; row i of `ys` still belongs to row i of `xs`.
        unroll: how many steps the compiled loop lays out in a row.

    Returns:
        `(carry, ys)`: the last carry, and the ys stacked along a new leading axis.

    Raises:
        TreeError: `f` does not return a pair, or a carry of another structure, shape or dtype.
        ShapeError: leading extents differ from each other or from `length`.

    >>> scan(lambda total, x: (total + x, total * x), 0.0, np.array([1.0, 2.0, 3.0]))
    (np.float64(6.0), array([0., 2., 9.]))
    """
    check_callable("scan", f, "f")
    rows = flatten_arguments([xs], lambda: ["xs"])
    count = _length("scan", rows, length)
    block = known_int("scan", "unroll", unroll)
    if block is None or block < 1:
        raise ArgumentError(f"scan: unroll must be a positive int, got {unroll!r}.")
    if block == 1 or count <= block or stepwise():
        return _scan("scan", f, init, rows, count, reverse)
    return _scan_blocks(f, init, xs, count, reverse, block)


def map(f: Callable[[Any], Any], xs: Any) -> Any:
    """Apply `f` to each row of arrays, one after another, and stack the results.

    As `vmap(f)(xs)`, but a loop: it needs memory for one application at a time.

    Args:
        f: a function of a pytree like `xs` without the first axis of its arrays; it returns a pytree of arrays.
        xs: a pytree of arrays of shapes (n, ...), n the same in all.

    Returns:
        A pytree like the result of `f`, each of its arrays with a first axis of n.

    Raises:
        ShapeError: a leaf of `xs` is a number, or their first extents differ.
        ArgumentError: `xs` holds no arrays, or `f` is no function.

    >>> map(lambda x: x.sum(), np.arange(6.0).reshape(3, 2))
    array([1., 5., 9.])
    """
    check_callable("map", f, "f")

    def step(_: Any, x: Any) -> Any:
        return None, f(x)

    step.__name__ = function_name(f)
    rows = flatten_arguments([xs], lambda: ["xs"])
    return _scan("map", step, None, rows, _length("map", rows, None), False, ahead=False)[1]  # memory for one row


def fori_loop(lower: Any, upper: Any, body_fun: Callable[[Any, Any], Any], init_val: Any) -> Any:
    """Run `val = body_fun(i, val)` for i from `lower` to `upper - 1`.

    The bounds may be traced. Reverse mode works in both cases.

    Args:
        lower: the first i, an integer.
        upper: one past the last i; no step is taken where it is not above `lower`.
        body_fun: returns a value of the structure, shapes and dtypes of `val`.
        init_val: the first `val`, a pytree of arrays and numbers.

    Returns:
        The last `val`, a pytree like `init_val`.

    Raises:
        ArgumentError: a bound is no integer.
        TreeError: `body_fun` returns another structure, shape or dtype than it is given; the message shows both.

    >>> int(fori_loop(0, 5, lambda i, total: total + i, 0))
    10
    """
    check_callable("fori_loop", body_fun, "body_fun")
    first, last = known_int("fori_loop", "lower", lower), known_int("fori_loop", "upper", upper)
    if first is not None and last is not None:

        def step(carry: Any, _: Any) -> Any:
            i, val = carry
            return (i + 1, body_fun(i, val)), None

        step.__name__ = function_name(body_fun)
        (_, val), _ = _scan("fori_loop", step, (first, init_val), _NOTHING, max(0, last - first), False)
        return val

    def body(carry: Any) -> Any:
        i, val = carry
        return i + 1, body_fun(i, val)

    body.__name__ = function_name(body_fun)
    return _while("fori_loop", lambda carry: carry[0] < upper, body, (lower, init_val))[1]


def while_loop(cond_fun: Callable[[Any], Any], body_fun: Callable[[Any], Any], init_val: Any) -> Any:
    """Run `val = body_fun(val)` as long as `cond_fun(val)`.

    Differentiable in both modes: the backward pass keeps the values of all steps on a tape that grows.

    Args:
        cond_fun: returns one boolean.
        body_fun: returns a value of the structure, shapes and dtypes of `val`.
        init_val: the first `val`, a pytree of arrays and numbers.

    Raises:
        TreeError: `body_fun` returns another structure, shape or dtype, or `cond_fun` something other than a boolean.

    >>> def sqrt(a):
    ...     better = lambda x: 0.5 * (x + a / x)
    ...     return while_loop(lambda x: np.abs(x * x - a) > 1e-12, better, a)
    >>> round(float(sqrt(2.0)), 10)
    1.4142135624
    """
    check_callable("while_loop", cond_fun, "cond_fun")
    check_callable("while_loop", body_fun, "body_fun")
    return _while("while_loop", cond_fun, body_fun, init_val)


def _length(name: str, rows: Leaves, length: Any) -> int:
    """The number of steps of a scan or map."""
    paths = tree.key_paths(rows.structure.children[0], "xs")
    extents: dict[int, str] = {}
    for x, path in zip(rows.values, paths, strict=True):
        if not x.shape:
            raise ShapeError(f"{name}: {path} is a single number, {type_of(x)}; it needs a leading axis to loop over.")
        extents.setdefault(x.shape[0], path)
    given = None if length is None else known_int(name, "length", length)
    if length is not None and (given is None or given < 0):
        hint = f" {STATIC}" if isinstance(length, Tracer) else ""
        raise ArgumentError(f"{name}: length must be a non-negative int, got {length!r}.{hint}")
    if given is not None:
        extents.setdefault(given, "length")
    if not extents:
        hint = "; pass length" if name == "scan" else ""
        raise ArgumentError(f"{name}: xs holds no arrays, so the number of steps is not known{hint}.")
    if len(extents) > 1:
        shown = ", ".join(f"{path}: {extent}" for extent, path in extents.items())
        raise ShapeError(f"{name}: the leading extents differ ({shown}).")
    return next(iter(extents))


def _scan(
    transform: str, f: Any, init: Any, rows: Leaves, length: int, reverse: bool, ahead: bool = True
) -> tuple[Any, Any]:
    start = flatten_arguments([init], lambda: ["init"])
    if length and stepwise():
        (xs,) = tree.unflatten(rows.structure, rows.values)
        return scan_by_steps(transform, f, init, xs, length, reverse)  # type: ignore[no-any-return]
    others = Signature(
        rows.structure.children,
        [array_type(x.shape[1:], x.dtype) for x in rows.values],
        [False] * len(rows.values),
        ["x"],
    )

    def carry_of(result: tree.TreeDef) -> tree.TreeDef:
        if result.kind is not tuple or len(result.children) != 2:
            raise TreeError(not_a_pair(transform, f, result))
        return result.children[0]

    body, values = trace_step(transform, f, start, others, carry_of)
    step, xs = body.graph, rows.values
    if ahead:
        step, xs = products_ahead(step, length, body.captures, len(values), xs)
    op = Scan(optimize(step), length, len(body.captures), len(values), bool(reverse))
    operands = [*body.captures, *values, *xs]
    results: tuple[Any, Any] = tree.unflatten(body.structure, own(op.bound(*operands), operands))
    return results


def _scan_blocks(f: Any, init: Any, xs: Any, length: int, reverse: bool, block: int) -> tuple[Any, Any]:
    """A scan whose step is `block` steps of `f`; what is left over comes last."""
    whole = length - length % block
    head, tail = (
        (slice(length - whole, None), slice(0, length - whole)) if reverse else (slice(0, whole), slice(whole, None))
    )

    def blocks(x: Any) -> Any:
        return x[head].reshape((whole // block, block, *x.shape[1:]))

    def step(carry: Any, rows: Any) -> tuple[Any, Any]:
        ys: list[Any] = [None] * block
        for i in reversed(range(block)) if reverse else range(block):
            carry, ys[i] = f(carry, tree.map(lambda x, i=i: x[i], rows))
        return carry, tree.map(lambda *parts: np.stack([*parts]), *ys)

    step.__name__ = function_name(f)
    main = flatten_arguments([tree.map(blocks, xs)], lambda: ["xs"])
    carry, stacked = _scan("scan", step, init, main, whole // block, reverse)
    ys = tree.map(lambda y: y.reshape((whole, *y.shape[2:])), stacked)
    if whole == length:
        return carry, ys
    rest = flatten_arguments([tree.map(lambda x: x[tail], xs)], lambda: ["xs"])
    carry, more = _scan("scan", f, carry, rest, length - whole, reverse)
    return carry, tree.map(lambda a, b: np.concatenate([b, a] if reverse else [a, b]), ys, more)


def _while(transform: str, cond_fun: Any, body_fun: Any, init: Any) -> Any:
    start = flatten_arguments([init], lambda: ["init"])
    if stepwise() and is_known(cond_fun(init)):
        return while_by_steps(transform, cond_fun, body_fun, init)
    nothing = Signature([], [], [], [])
    body, values = trace_step(transform, body_fun, start, nothing, lambda structure: structure)
    structure = start.structure.children[0]
    signature = Signature([structure], [type_of(x) for x in values], [False] * len(values), ["carry"])
    condition = trace_body(transform, cond_fun, signature)
    if condition.structure is not tree.LEAF or condition.types[0] != array_type((), BOOL):
        found = condition.types[0] if condition.structure is tree.LEAF else repr(condition.structure)
        raise TreeError(
            f"{transform}: {function_name(cond_fun)} must return one boolean, but returned {found}. Reduce arrays with "
            "np.all or np.any."
        )
    op = While(optimize(condition.graph), optimize(body.graph), len(condition.captures), len(body.captures))
    operands = [*condition.captures, *body.captures, *values]
    return tree.unflatten(structure, own(bind(op, *operands), operands))


_NOTHING = flatten_arguments([None], list)
