"""JAX as an oracle for programs: its transformations, evaluated with NumPy.

Compiling each program with XLA would take ten times as long as all the rest. So JAX traces and transforms, down to its
own primitives, which `evaluate` then computes one by one: most with NumPy, and what is not in the table below with JAX
itself. So is every program with `compiled=True`, by XLA.
"""

from __future__ import annotations

import contextlib
from typing import Any

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
import scipy.special
from jax import lax

JAX = """\
import jax
from jax import checkpoint, custom_jvp, grad, hessian, jacfwd, jacrev, jit, jvp, numpy as np, value_and_grad, vjp, vmap
from jax.lax import stop_gradient
from tests.support.jax_programs import at, custom_vjp, reversible as lax

jax.config.update("jax_enable_x64", True)
"""

STEPS = 6  # more than any loop of a program takes


def at(x: Any) -> Any:
    """JAX's functional updates, spelled as fungrad's."""
    return jnp.asarray(x).at


class reversible:
    """`jax.lax`, with loops that JAX can differentiate backwards: a bounded number of steps, the rest of them idle."""

    scan, map, cond, switch = lax.scan, lax.map, lax.cond, lax.switch

    @staticmethod
    def while_loop(cond_fun: Any, body_fun: Any, init_val: Any) -> Any:
        init_val = jax.tree.map(jnp.asarray, init_val)

        def step(carry: Any, _: Any) -> Any:
            return lax.cond(cond_fun(carry), body_fun, lambda c: c, carry), None

        return lax.scan(step, init_val, None, length=STEPS)[0]

    @staticmethod
    def fori_loop(lower: Any, upper: Any, body_fun: Any, init_val: Any) -> Any:
        if isinstance(upper, int):
            return lax.fori_loop(lower, upper, body_fun, init_val)
        start = (jnp.asarray(lower), init_val)
        return reversible.while_loop(lambda c: c[0] < upper, lambda c: (c[0] + 1, body_fun(*c)), start)[1]


class custom_vjp:
    """`jax.custom_vjp`, in forward mode, too: the rule is transposed, as in fungrad."""

    def __init__(self, f: Any) -> None:
        self.f = f

    def defvjp(self, forward: Any, backward: Any) -> None:
        f = self.f = jax.custom_jvp(self.f)

        @f.defjvp
        def rule(primals: Any, tangents: Any) -> Any:
            out, residuals = forward(*primals)
            like = jax.ShapeDtypeStruct(out.shape, out.dtype)
            (t,) = jax.linear_transpose(lambda ct: backward(residuals, ct), like)(tangents)
            return out, t

    def __call__(self, *args: Any) -> Any:
        return self.f(*args)


def names() -> dict[str, Any]:
    """The namespace in which a program is JAX's."""
    found: dict[str, Any] = {}
    exec(JAX.replace('jax.config.update("jax_enable_x64", True)', ""), found)
    return found


def run(f: Any, arguments: list[Any], compiled: bool = False) -> list[Any]:
    """The results of a function written with `names`."""
    with jax.enable_x64(True):
        if compiled:
            return [np.asarray(x) for x in jax.tree.leaves(jax.jit(f)(*arguments))]
        closed = jax.make_jaxpr(f)(*arguments)
        with np.errstate(all="ignore"):
            return evaluate(closed.jaxpr, closed.consts, [np.asarray(x) for x in arguments])


def evaluate(jaxpr: Any, constants: Any, arguments: list[Any]) -> list[Any]:
    """What a program of JAX's primitives computes."""
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *arguments], strict=True))

    def read(x: Any) -> Any:
        return x.val if isinstance(x, jax.extend.core.Literal) else known[x]

    for eqn in jaxpr.eqns:
        operands = [np.asarray(read(x)) for x in eqn.invars]
        name = eqn.primitive.name
        types = [x.aval for x in eqn.outvars]
        if name in REGIONS:
            results = REGIONS[name](operands, **eqn.params)
        elif name in FUNCTIONS:
            results = [FUNCTIONS[name](*operands, **eqn.params)]
        else:
            results = eqn.primitive.bind(*operands, **eqn.params)
            results = results if eqn.primitive.multiple_results else [results]
        for variable, x, type in zip(eqn.outvars, results, types, strict=True):
            x = np.asarray(x)
            assert x.shape == type.shape, (name, x.shape, type)
            known[variable] = x.astype(type.dtype, copy=False)
    return [np.asarray(read(x)) for x in jaxpr.outvars]


def _closed(program: Any, operands: list[Any]) -> list[Any]:
    return evaluate(program.jaxpr, program.consts, operands)


def _scan(operands: Any, *, jaxpr: Any, length: int, reverse: bool, num_consts: int, num_carry: int, **_: Any) -> Any:
    fixed, carry = operands[:num_consts], operands[num_consts : num_consts + num_carry]
    rows = operands[num_consts + num_carry :]
    stacked: list[Any] = [None] * length
    for i in reversed(range(length)) if reverse else range(length):
        results = _closed(jaxpr, [*fixed, *carry, *(x[i] for x in rows)])
        carry, stacked[i] = results[:num_carry], results[num_carry:]
    types = jaxpr.out_avals[num_carry:]
    empty = [np.zeros((0, *t.shape), t.dtype) for t in types]
    return [*carry, *([np.stack(ys) for ys in zip(*stacked, strict=True)] if length else empty)]


def _while(operands: Any, *, cond_jaxpr: Any, body_jaxpr: Any, cond_nconsts: int, body_nconsts: int) -> Any:
    test, step = operands[:cond_nconsts], operands[cond_nconsts : cond_nconsts + body_nconsts]
    carry = operands[cond_nconsts + body_nconsts :]
    while True:
        (go_on,) = _closed(cond_jaxpr, [*test, *carry])
        if go_on.ndim:
            raise NotImplementedError("a batched condition")
        if not go_on:
            return carry
        carry = _closed(body_jaxpr, [*step, *carry])


def _cond(operands: Any, *, branches: Any, **_: Any) -> Any:
    index = int(np.clip(operands[0], 0, len(branches) - 1))
    return _closed(branches[index], operands[1:])


def _call(operands: Any, *, jaxpr: Any = None, call_jaxpr: Any = None, **_: Any) -> Any:
    program = jaxpr if call_jaxpr is None else call_jaxpr
    return _closed(program, operands) if hasattr(program, "consts") else evaluate(program, [], operands)


REGIONS = {
    "scan": _scan,
    "while": _while,
    "cond": _cond,
    **dict.fromkeys(["jit", "pjit", "closed_call", "checkpoint", "remat2", "custom_jvp_call", "custom_vjp_call"], _call),
}


def _broadcast_in_dim(x: Any, *, shape: Any, broadcast_dimensions: Any, **_: Any) -> Any:
    kept = [1] * len(shape)
    for i, axis in enumerate(broadcast_dimensions):
        kept[axis] = x.shape[i]
    return np.broadcast_to(x.reshape(kept), shape)


def _dot_general(a: Any, b: Any, *, dimension_numbers: Any, **_: Any) -> Any:
    (contract_a, contract_b), (batch_a, batch_b) = dimension_numbers
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    left, right = [next(letters) for _ in a.shape], [next(letters) for _ in b.shape]
    for i, j in zip([*contract_a, *batch_a], [*contract_b, *batch_b], strict=True):
        right[j] = left[i]
    out = [left[i] for i in batch_a]
    out += [s for i, s in enumerate(left) if i not in (*contract_a, *batch_a)]
    out += [s for j, s in enumerate(right) if j not in (*contract_b, *batch_b)]
    return np.einsum(f"{''.join(left)},{''.join(right)}->{''.join(out)}", a, b)


def _pad(x: Any, fill: Any, *, padding_config: Any) -> Any:
    if any(low < 0 or high < 0 for low, high, _ in padding_config):
        return lax.pad(x, fill, padding_config)
    shape = [low + n + max(n - 1, 0) * gap + high for n, (low, high, gap) in zip(x.shape, padding_config, strict=True)]
    out = np.full(shape, fill)
    where = [slice(low, low + n + max(n - 1, 0) * gap, gap + 1) for n, (low, _, gap) in zip(x.shape, padding_config, strict=True)]
    out[tuple(where)] = x
    return out


def _cumulative(ufunc: np.ufunc) -> Any:
    def accumulate(x: Any, *, axis: int, reverse: bool) -> Any:
        x = np.flip(x, axis) if reverse else x
        found = ufunc.accumulate(x, axis)
        return np.flip(found, axis) if reverse else found

    return accumulate


def _reduce(ufunc: np.ufunc) -> Any:
    return lambda x, *, axes, **_: ufunc.reduce(x, axis=tuple(axes), dtype=x.dtype)


def _select_n(which: Any, *cases: Any) -> Any:
    return np.choose(np.broadcast_to(which, cases[0].shape).astype(int), cases)


def _integer_div(x: Any, y: Any) -> Any:
    """Towards zero for integers."""
    return np.trunc_divide(x, y) if False else (np.sign(x) * np.sign(y) * (np.abs(x) // np.abs(y)) if x.dtype.kind == "i" else x / y)


def _plain(f: Any) -> Any:
    """A function without parameters that matter."""
    return lambda *operands, **_: f(*operands)


FUNCTIONS: dict[str, Any] = {
    **{
        name: _plain(getattr(np, found))
        for name, found in {
            "add": "add", "add_any": "add", "sub": "subtract", "mul": "multiply", "neg": "negative", "sin": "sin", "cos": "cos",
            "tan": "tan", "asin": "arcsin", "acos": "arccos", "atan": "arctan", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh",
            "asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh", "exp": "exp", "exp2": "exp2", "expm1": "expm1",
            "log": "log", "log1p": "log1p", "sqrt": "sqrt", "cbrt": "cbrt", "abs": "abs", "sign": "sign", "floor": "floor",
            "ceil": "ceil", "square": "square", "max": "maximum", "min": "minimum", "pow": "power", "atan2": "arctan2",
            "rem": "fmod", "nextafter": "nextafter", "is_finite": "isfinite", "and": "bitwise_and", "or": "bitwise_or",
            "xor": "bitwise_xor", "not": "invert", "eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal",
            "gt": "greater", "ge": "greater_equal", "shift_left": "left_shift", "shift_right_arithmetic": "right_shift",
        }.items()
    },
    "div": _plain(_integer_div),
    "logistic": _plain(scipy.special.expit),
    "rsqrt": _plain(lambda x: 1 / np.sqrt(x)),
    "integer_pow": lambda x, *, y: x**y if y >= 0 else 1 / x**-y,
    "round": lambda x, *, rounding_method: np.rint(x) if rounding_method == 1 else np.copysign(np.floor(np.abs(x) + 0.5), x),
    "clamp": _plain(lambda low, x, high: np.minimum(np.maximum(x, low), high)),
    "select_n": _plain(_select_n),
    "stop_gradient": _plain(np.asarray),
    "copy": _plain(np.array),
    "copy_p": _plain(np.array),
    "name": _plain(np.asarray),
    "optimization_barrier": _plain(np.asarray),
    "convert_element_type": lambda x, *, new_dtype, **_: x.astype(new_dtype),
    "broadcast_in_dim": _broadcast_in_dim,
    "reshape": lambda x, *, new_sizes, **_: x.reshape(new_sizes),
    "squeeze": lambda x, *, dimensions: np.squeeze(x, tuple(dimensions)),
    "expand_dims": lambda x, *, dimensions: np.expand_dims(x, tuple(dimensions)),
    "transpose": lambda x, *, permutation: np.transpose(x, permutation),
    "rev": lambda x, *, dimensions: np.flip(x, tuple(dimensions)),
    "concatenate": lambda *xs, dimension: np.concatenate(xs, dimension),
    "slice": lambda x, *, start_indices, limit_indices, strides: x[
        tuple(map(slice, start_indices, limit_indices, strides or [1] * x.ndim))
    ],
    "pad": _pad,
    "iota": lambda *, dtype, shape, dimension, **_: np.broadcast_to(
        np.arange(shape[dimension], dtype=dtype).reshape([-1 if i == dimension else 1 for i in range(len(shape))]), shape
    ),
    "reduce_sum": _reduce(np.add),
    "reduce_prod": _reduce(np.multiply),
    "reduce_max": _reduce(np.maximum),
    "reduce_min": _reduce(np.minimum),
    "reduce_and": _reduce(np.logical_and),
    "reduce_or": _reduce(np.logical_or),
    "argmax": lambda x, *, axes, index_dtype: np.argmax(x, axes[0]).astype(index_dtype),
    "argmin": lambda x, *, axes, index_dtype: np.argmin(x, axes[0]).astype(index_dtype),
    "cumsum": _cumulative(np.add),
    "cumprod": _cumulative(np.multiply),
    "cummax": _cumulative(np.maximum),
    "dot_general": _dot_general,
}  # fmt: skip
"""JAX's primitives in NumPy, by name; parameters are JAX's."""
