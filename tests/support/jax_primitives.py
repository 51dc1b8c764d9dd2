"""JAX's programs evaluated with NumPy.

Compiling each random program with XLA would take ten times as long as all the rest. So JAX traces and transforms, down
to its own primitives, and these are computed one by one: most by NumPy, and what is not in the table below by JAX.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.extend.core
import numpy as np
import scipy.special
from jax import lax


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
    **dict.fromkeys(
        ["jit", "pjit", "closed_call", "checkpoint", "remat2", "custom_jvp_call", "custom_vjp_call"], _call
    ),
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
    where = [
        slice(low, low + n + max(n - 1, 0) * gap, gap + 1)
        for n, (low, _, gap) in zip(x.shape, padding_config, strict=True)
    ]
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


def _div(x: Any, y: Any) -> Any:
    """Integers are divided towards zero."""
    return x / y if x.dtype.kind == "f" else np.sign(x) * np.sign(y) * (np.abs(x) // np.abs(y))


def _round(x: Any, *, rounding_method: Any) -> Any:
    to_even = rounding_method == lax.RoundingMethod.TO_NEAREST_EVEN
    return np.rint(x) if to_even else np.copysign(np.floor(np.abs(x) + 0.5), x)


def _iota(*, dtype: Any, shape: Any, dimension: int, **_: Any) -> Any:
    return np.broadcast_to(
        np.arange(shape[dimension], dtype=dtype).reshape([-1 if i == dimension else 1 for i in range(len(shape))]),
        shape,
    )


def _slice(x: Any, *, start_indices: Any, limit_indices: Any, strides: Any) -> Any:
    return x[tuple(map(slice, start_indices, limit_indices, strides or [1] * x.ndim))]


def _plain(f: Any) -> Any:
    """A function without parameters that matter."""
    return lambda *operands, **_: f(*operands)


SAME = """
    add sin cos tan sinh cosh tanh exp exp2 expm1 log log1p sqrt cbrt abs sign floor ceil square nextafter
"""
OTHERS = {
    "add_any": np.add, "sub": np.subtract, "mul": np.multiply, "neg": np.negative, "max": np.maximum,
    "min": np.minimum, "pow": np.power, "rem": np.fmod, "atan2": np.arctan2, "asin": np.arcsin, "acos": np.arccos,
    "atan": np.arctan, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "is_finite": np.isfinite,
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor, "not": np.invert, "shift_left": np.left_shift,
    "div": _div, "shift_right_arithmetic": np.right_shift, "logistic": scipy.special.expit, "select_n": _select_n,
    "stop_gradient": np.asarray, "copy": np.asarray, "copy_p": np.asarray, "name": np.asarray,
    "rsqrt": lambda x: 1 / np.sqrt(x), "clamp": lambda low, x, high: np.minimum(np.maximum(x, low), high),
}  # fmt: skip

FUNCTIONS: dict[str, Any] = {
    **{name: _plain(getattr(np, name)) for name in SAME.split()},
    **{name: _plain(f) for name, f in OTHERS.items()},
    "argmax": lambda x, *, axes, index_dtype: np.argmax(x, axes[0]),
    "argmin": lambda x, *, axes, index_dtype: np.argmin(x, axes[0]),
    "broadcast_in_dim": _broadcast_in_dim,
    "concatenate": lambda *xs, dimension: np.concatenate(xs, dimension),
    "convert_element_type": lambda x, *, new_dtype, **_: x.astype(new_dtype),
    "cummax": _cumulative(np.maximum),
    "cumprod": _cumulative(np.multiply),
    "cumsum": _cumulative(np.add),
    "dot_general": _dot_general,
    "expand_dims": lambda x, *, dimensions: np.expand_dims(x, tuple(dimensions)),
    "integer_pow": lambda x, *, y: x**y if y >= 0 else 1 / x**-y,
    "iota": _iota,
    "pad": _pad,
    "reduce_and": _reduce(np.logical_and),
    "reduce_max": _reduce(np.maximum),
    "reduce_min": _reduce(np.minimum),
    "reduce_or": _reduce(np.logical_or),
    "reduce_prod": _reduce(np.multiply),
    "reduce_sum": _reduce(np.add),
    "reshape": lambda x, *, new_sizes, dimensions, **_: np.transpose(x, dimensions or range(x.ndim)).reshape(new_sizes),
    "rev": lambda x, *, dimensions: np.flip(x, tuple(dimensions)),
    "round": _round,
    "slice": _slice,
    "squeeze": lambda x, *, dimensions: np.squeeze(x, tuple(dimensions)),
    "transpose": lambda x, *, permutation: np.transpose(x, permutation),
}
"""JAX's primitives in NumPy, by name; parameters are JAX's."""
