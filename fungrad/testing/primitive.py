"""`check_primitive`: everything that holds for a primitive, at example operands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np

from fungrad.api import grad, vjp
from fungrad.errors import ArgumentError, FungradError
from fungrad.forward import jvp
from fungrad.ir.primitive import Primitive
from fungrad.ir.types import ArrayType, type_of
from fungrad.jitted import jit
from fungrad.passes.prune import prune
from fungrad.primitives.shape import Reshape, Slice, Transpose
from fungrad.testing.batch_rules import Vary, check_batch_rule
from fungrad.testing.batching import check_batch
from fungrad.testing.compare import compare_values
from fungrad.testing.functions import check_derivatives
from fungrad.testing.rules import Rules, check_rules
from fungrad.testing.values import Untouched, differentiable, layouts, varied
from fungrad.trace import bind, trace
from fungrad.vmapped import vmap

VIEWS = (Reshape, Slice, Transpose)  # cost nothing, so a rule may compute them for nobody
FEW = 3  # results or operands of which every subset is tried


def check_primitive(
    op: Primitive,
    *examples: Sequence[Any],
    bad: Sequence[Sequence[Any]] = (),
    smooth: Callable[..., Any] | None = None,
    order: int = 2,
    compiled: bool = True,
    vary: Vary = varied,
    seed: int = 0,
) -> None:
    """Check everything that holds for a primitive, your own or one of fungrad's.

    For each example: `infer` gives the type of what `evaluate` returns, whatever the memory layout of the operands, and
    a smaller primitive of `restricted` the same results; the derivative rules agree with central differences, with each
    other, with linearity and with what `wanted` asks for, and compute nothing in vain; the batch rule is a loop, for
    every choice of batched operands and every axis; `jvp`, `vjp`, `grad` (for all subsets of `argnums`) and `vmap` give
    what the rules give, as arrays of the caller's own; higher derivatives in every pairing of modes agree with
    differences; compiled code gives what the interpreter gives; and no operand is ever changed.

    Args:
        op: the primitive.
        examples: each a tuple of operands, where the primitive is smooth. Small arrays of several ranks are best; empty
            and 0-d ones are welcome.
        bad: tuples of operands, or of their `ArrayType`s, that `infer` must refuse with one of fungrad's errors.
        smooth: the function of the operands whose derivative the rules state, where that is not `evaluate` on float64
            operands: the identity, for example, for a rounding with a straight-through derivative.
        order: up to which order derivatives are checked.
        compiled: whether compiled code is checked, which costs a fraction of a second for each example.
        vary: from an operand, a number and a NumPy generator to the operand of another example, for the batch rule; by
            default floats are scaled by up to a half, integers permuted, booleans negated.
        seed: of random directions.

    Raises:
        AssertionError: something does not hold; the message says what.
        ArgumentError: there is no example.

    >>> from fungrad.primitives.contract import Dot
    >>> check_primitive(Dot((1,), (0,)), (np.ones((2, 3)), np.ones(3)), bad=[(np.ones(3), np.ones(3))])
    """
    if not examples and not bad:
        raise ArgumentError("check_primitive: give example operands, each a tuple: check_primitive(op, (x, y), ...).")
    for operands in examples:
        if not isinstance(operands, tuple | list):
            raise ArgumentError(
                f"check_primitive: an example is a tuple of operands, got {type(operands).__name__}. For one operand "
                "write check_primitive(op, (x,))."
            )
        rng = np.random.default_rng(seed)
        values = [np.asarray(x)[()] for x in operands]
        untouched = Untouched(values)
        _check_meaning(op, values)
        check_rules(op, values, rng, smooth)
        if not op.multiple:
            _check_nothing_in_vain(op, values)
        check_batch_rule(op, values, rng, vary=vary)
        _check_transformations(op, values, rng, vary)
        if order > 1:
            check_higher_orders(op, values, order)
        if compiled:
            check_compiled(op, values, rng, vary)
        untouched.check(op.name)
    for operands in bad:
        _check_refused(op, operands)


def _check_refused(op: Primitive, operands: Sequence[Any]) -> None:
    types = [x if isinstance(x, ArrayType) else type_of(np.asarray(x)) for x in operands]
    try:
        found = op.infer(*types)
    except FungradError:
        return
    except Exception as error:
        raise AssertionError(f"{op.name} refuses {types} with {error!r}, not with an error of fungrad's") from error
    raise AssertionError(f"{op.name} takes {types} for {found}, but should refuse them")


def _check_meaning(op: Primitive, values: Sequence[Any]) -> None:
    """Types, memory layouts, and smaller primitives."""
    rules = Rules(op, values)
    types = [type_of(x) for x in rules.outs]
    inferred = rules.listed(op.infer(*map(type_of, values)))
    assert types == inferred, f"{op.name}: infer says {inferred}, but evaluate returned {types}"
    cts = rules.cotangents(np.random.default_rng(0))
    has_rules = any(map(differentiable, rules.outs))
    nothing = [None] * len(values)
    pulled = rules.vjp(cts) if has_rules else nothing
    for changed in zip(*map(layouts, values), strict=True):
        what = f"{op.name}, operands with strides {[x.strides for x in changed]}"
        untouched = Untouched(changed)
        other = Rules(op, changed)
        compare_values(what, other.outs, rules.outs, rules.out_names, rules.rounding)
        for c, e, name in zip(other.vjp(cts) if has_rules else nothing, pulled, rules.names, strict=True):
            assert (c is None) == (e is None), f"{what}: the cotangent of {name} depends on the layout"
            if c is not None:
                compare_values(what, [c], [e], [name], rules.rounding)
        untouched.check(what)
    if op.multiple:
        _check_restricted(op, values, rules)


def _check_restricted(op: Primitive, values: Sequence[Any], rules: Rules) -> None:
    for used in product([True, False], repeat=len(rules.outs)) if len(rules.outs) <= FEW else []:
        found = op.restricted(used) if any(used) else None
        if found is None:
            continue
        smaller, taken, given = found
        assert all(has for has, asked in zip(given, used, strict=True) if asked), f"{op.name}: lacks a used result"
        outs = smaller.evaluate(*[x for x, flag in zip(values, taken, strict=True) if flag])
        expected = [x for x, flag in zip(rules.outs, given, strict=True) if flag]
        names = [name for name, flag in zip(rules.out_names, given, strict=True) if flag]
        compare_values(f"{op.name}, restricted to {used}", list(outs), expected, names, rules.rounding)


def _check_nothing_in_vain(op: Primitive, values: Sequence[Any]) -> None:
    """The rule, recorded for each set of wanted operands, has no operation that does not reach a wanted cotangent."""
    types = [type_of(x) for x in values]
    out = op.infer(*types)
    if not out.is_float:
        return
    floats = [i for i, t in enumerate(types) if t.is_float]
    for chosen in [[], *([i] for i in floats), floats]:
        wanted = [i in chosen for i in range(len(types))]

        def rule(ct: Any, result: Any, *xs: Any, wanted: list[bool] = wanted) -> list[Any]:
            return [c for c in op.vjp(ct, xs, result, wanted) if c is not None]

        graph, _ = trace(rule, [out, out, *types], purpose="a rule")
        kept = set(prune(graph).equations)
        dead = [eqn.op for eqn in graph.equations if eqn not in kept and not isinstance(eqn.op, VIEWS)]
        assert not dead, f"{op.name}, vjp, wanted {wanted}: computed in vain: {dead}"


def _check_transformations(op: Primitive, values: Sequence[Any], rng: np.random.Generator, vary: Vary) -> None:
    """`jvp`, `vjp`, `grad` and `vmap` give what the rules give, in arrays of the caller's own."""
    rules = Rules(op, values)
    tangents = rules.tangents(rng)
    out, pushed = jvp(lambda *xs: bind(op, *xs), tuple(values), tuple(tangents))
    compare_values(f"jvp of {op.name}", rules.listed(out), rules.outs, rules.out_names, 0.0)
    every = rules.jvp(tangents)
    zeros = [np.zeros(x.shape, x.dtype)[()] if t is None else t for t, x in zip(every, rules.outs, strict=True)]
    compare_values(f"jvp of {op.name}: the tangent of", rules.listed(pushed), zeros, rules.out_names, 0.0)
    _check_own([*rules.listed(out), *rules.listed(pushed)], [*values, *tangents])
    if any(rules.floats) and any(map(differentiable, rules.outs)):
        _check_reverse(rules, rng)
    rows = [[vary(np.asarray(x), i, rng) for x in values] for i in (1, 2)]
    check_batch(lambda *xs: bind(op, *xs), tuple(values), rows)
    mapped = vmap(lambda *xs: bind(op, *xs), axis_size=2)(*(np.stack([x, x]) for x in map(np.asarray, values)))
    _check_own(rules.listed(mapped), values)


def _of_floats(op: Primitive, values: Sequence[Any]) -> Callable[..., list[Any]]:
    """The primitive as a function of its float operands that returns its float results."""

    def f(*xs: Any) -> list[Any]:
        rest = iter(xs)
        found = bind(op, *(next(rest) if differentiable(x) else x for x in values))
        return [x for x in (found if op.multiple else [found]) if differentiable(x)]

    return f


def _check_reverse(rules: Rules, rng: np.random.Generator) -> None:
    op, values = rules.op, rules.operands
    f, xs, names = _of_floats(op, values), rules.of_operands(values), rules.of_operands(rules.names)
    cts = rules.cotangents(rng)
    given = rules.of_results(cts)
    out, pullback = vjp(f, *xs)
    outs, out_names = rules.of_results(rules.outs), rules.of_results(rules.out_names)
    compare_values(f"vjp of {op.name}", out, outs, out_names, 0.0)
    rule = rules.of_operands(rules.vjp(cts))
    expected = [np.zeros_like(x)[()] if c is None else np.array(c)[()] for c, x in zip(rule, xs, strict=True)]
    found = pullback(given)
    compare_values(f"vjp of {op.name}: the cotangent of", found, expected, names, rules.rounding / 10)
    _check_own([*out, *found], [*values, *given])
    for c in found:  # spoil them all: nothing else may notice
        if isinstance(c, np.ndarray):
            c[...] = np.nan
    compare_values(
        f"vjp of {op.name}, the second time: the cotangent of", pullback(given), expected, names, rules.rounding / 10
    )

    def scalar(*ys: Any) -> Any:
        return sum(np.sum(w * y) for w, y in zip(given, f(*ys), strict=True))

    if len({x.dtype for x in (*xs, *given)}) > 1:
        return  # the sum would be of another dtype
    count = len(xs)
    for flags in product([True, False], repeat=count) if count <= FEW else [(True,) * count]:
        argnums = tuple(i for i, flag in enumerate(flags) if flag)
        if argnums:
            some = grad(scalar, argnums)(*xs)
            what = f"grad of <w, {op.name}> for argnums {argnums}: the gradient by"
            compare_values(what, some, [expected[i] for i in argnums], [names[i] for i in argnums], rules.rounding)


def _check_own(found: Sequence[Any], others: Sequence[Any]) -> None:
    """Results are arrays that the caller may change without changing anything else."""
    arrays = [x for x in found if isinstance(x, np.ndarray)]
    for i, x in enumerate(arrays):
        assert x.flags.writeable, "a result is read-only"
        for y in (*arrays[:i], *others):
            assert not (isinstance(y, np.ndarray) and np.shares_memory(x, y)), (
                "a result shares memory with another array"
            )


def check_higher_orders(op: Primitive, values: Sequence[Any], order: int) -> None:
    """Check derivatives of order 2 and up of a primitive, in every pairing of forward and reverse mode."""
    rules = Rules(op, values)
    if any(rules.floats) and any(map(differentiable, rules.outs)):
        names = rules.of_operands(rules.names), rules.of_results(rules.out_names)
        check_derivatives(op.name, _of_floats(op, values), rules.of_operands(values), *names, order, first=False)


def check_compiled(op: Primitive, values: Sequence[Any], rng: np.random.Generator, vary: Vary = varied) -> None:
    """Check that compiled code gives what the interpreter gives: values, tangents, cotangents and batches."""
    rules = Rules(op, values)
    tangents = rules.of_operands(rules.tangents(rng))
    cts = rules.of_results(rules.cotangents(rng))
    batches = [np.stack([vary(x, i, rng) for i in range(3)]) for x in map(np.asarray, values)]

    def everything(xs: Any, ts: Any, cs: Any, batch: Any) -> Any:
        rest = iter(xs)
        mixed = [next(rest) if is_float else x for x, is_float in zip(values, rules.floats, strict=True)]
        f = _of_floats(op, mixed)
        derived = [*jvp(f, xs, ts)[1], *vjp(f, *xs)[1](cs)] if xs and cs else []
        return rules.listed(bind(op, *mixed)), derived, rules.listed(vmap(lambda *ys: bind(op, *ys))(*batch))

    given = (rules.of_operands(values), tangents, cts, batches)
    with np.errstate(all="ignore"):
        expected, found = everything(*given), jit(everything)(*given)
    for what, e, c in zip(("jit of", "jit of derivatives of", "jit of vmap of"), expected, found, strict=True):
        compare_values(f"{what} {op.name}", c, e, [f"result {i}" for i in range(len(e))], rules.rounding)
