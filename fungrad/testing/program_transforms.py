"""Derivatives, compiled functions and custom rules inside random programs.

Each entry of TRANSFORMS writes a function whose statements are random, and applies a transformation to it. Functions
with custom rules see nothing outside, which JAX requires; all others may read values around them.
"""

from __future__ import annotations

from fungrad.testing.program_regions import listed, pattern, result, types_of
from fungrad.testing.program_source import Define, Statement
from fungrad.testing.program_writer import Value, Writer


def gradient(w: Writer) -> None:
    """The gradient of a random function at the values there are."""
    operands = w.some()
    inner = types_of(w, operands)
    scope = w.inner(inner)
    y = result(scope)
    f = w.function(scope, listed(inner), f"np.sum(np.sin({y.name}))")
    if w.sometimes():
        found = types_of(w, operands)
        call = f"grad({f}, argnums={tuple(range(len(operands)))})({listed(operands)})"
        w.define(found, call, f"({listed(found)},)")
    else:
        found = [w.new((), y.dtype), *types_of(w, operands[:1])]
        w.define(found, f"value_and_grad({f})({listed(operands)})")


def _one_to_one(w: Writer) -> tuple[str, Value, Value]:
    """A function of one float with one float result: its name, its operand, and the type of its result."""
    (x,) = w.some(most=1)
    (inner,) = types_of(w, [x])
    scope = w.inner([inner])
    y = result(scope)
    return w.function(scope, inner.name, y.name), x, y


def pushforward(w: Writer) -> None:
    """A value with its derivative along a direction."""
    f, x, y = _one_to_one(w)
    direction = w.like(result(w), x)
    w.define(types_of(w, [y, y]), f"jvp({f}, ({x.name},), ({direction.name},))")


def pullback(w: Writer) -> None:
    """A transposed Jacobian times a cotangent."""
    f, x, y = _one_to_one(w)
    ct = w.like(result(w), y)
    (found,) = types_of(w, [x])
    w.define([found], f"vjp({f}, {x.name})[1]({ct.name})", f"({found.name},)")


def matrix(w: Writer) -> None:
    """A whole Jacobian."""
    f, x, y = _one_to_one(w)
    shape = (*y.shape, *x.shape)
    if w.fits(shape):
        # forward mode gives the dtype of the result, reverse mode that of the argument
        name, dtype = w.one_of((("jacfwd", y.dtype), ("jacrev", x.dtype)))
        w.define([w.new(shape, dtype)], f"{name}({f})({x.name})")


def hessian(w: Writer) -> None:
    """A matrix of second derivatives of a random function."""
    x = w.pick(ok=lambda x: x.size <= 3 and x.ndim < 2)
    if x is None:
        return
    (inner,) = types_of(w, [x])
    scope = w.inner([inner])
    f = w.function(scope, inner.name, f"np.sum(np.sin({result(scope).name}))")
    w.define([w.new((*x.shape, *x.shape), x.dtype)], f"hessian({f})({x.name})")


def call(w: Writer) -> None:
    """A function that is compiled, or computed again on the way back."""
    operands = w.some("ffib")
    inner = types_of(w, operands)
    scope = w.inner(inner)
    results = [result(scope), *([result(scope, "fib")] if w.sometimes() else [])]
    f = w.function(scope, listed(inner), pattern(results))
    found = types_of(w, results)
    w.define(found, f"{w.one_of(('jit', 'checkpoint'))}({f})({listed(operands)})", pattern(found))


def _closed(w: Writer, x: Value) -> tuple[Value, tuple[Statement, ...], str]:
    """A function of the type of `x` to itself that sees nothing outside: its parameter, statements and result."""
    (inner,) = types_of(w, [x])
    scope = w.inner([inner], closed=True)
    found = scope.like(result(scope), x)
    return inner, tuple(scope.statements), found.name


DERIVATIVES = (
    ("np.sin({0})", "np.cos({0})"),
    ("{0} * {0} * {0}", "3 * {0} * {0}"),
    ("np.exp(-{0} * {0})", "-2 * {0} * np.exp(-{0} * {0})"),
    ("np.arctan({0})", "1 / (1 + {0} * {0})"),
)
"""Functions of each element, with their derivatives."""


def custom_rule(w: Writer) -> None:
    """A function with a derivative of its own.

    It is a random multiple that has nothing to do with the function; but not in loops: there JAX forgets rules when it
    differentiates for the second time, and reverse mode through `while_loop` relies on second derivatives that are
    symmetric.
    """
    (x,) = w.some(most=1)
    f, t = w.name("f"), w.name()
    body: tuple[Statement, ...] = ()
    rule: tuple[Statement, ...] = ()
    if w.in_loop:
        function, derivative = w.one_of(DERIVATIVES)
        argument, inner = types_of(w, [x, x])
        out, linear = function.format(argument.name), f"{t} * ({derivative.format(inner.name)})"
    else:
        (argument, body, out), (inner, rule, factor) = _closed(w, x), _closed(w, x)
        linear = f"0.7 * {t} * {factor}"
    if w.sometimes():
        pushed = (f"@{f}.defjvp", f"def {f}_jvp(primals, tangents):", f"({inner.name},), ({t},) = primals, tangents")
        after: tuple[Define | str, ...] = (Define(f"{f}_jvp", pushed, rule, f"{f}({inner.name}), {linear}"),)
    else:
        forward, back = (f"def {f}_fwd({t}):",), (f"def {f}_bwd({inner.name}, {t}):",)
        after = (
            Define(f"{f}_fwd", forward, (), f"{f}({t}), {t}"),
            Define(f"{f}_bwd", back, rule, f"({linear},)"),
            f"{f}.defvjp({f}_fwd, {f}_bwd)",
        )
    head = ("@custom_jvp" if len(after) == 1 else "@custom_vjp", f"def {f}({argument.name}):")
    w.statements.append(Define(f, head, body, out, after))
    w.define(types_of(w, [x]), f"{f}({x.name})")


TRANSFORMS = (call, gradient, pushforward, pullback, custom_rule, matrix, hessian)
