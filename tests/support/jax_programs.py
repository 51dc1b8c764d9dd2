"""JAX as an oracle for programs: what their names mean there, and how they are run."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tests.support.jax_primitives import evaluate

JAX = """\
from jax import checkpoint, custom_jvp, grad, hessian, jacfwd, jacrev, jit, jvp
from jax import numpy as np
from jax import value_and_grad, vjp, vmap
from jax.lax import stop_gradient
from tests.support.jax_programs import at, custom_vjp, reversible as lax
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
    exec(JAX, found)
    return found


def run(f: Any, arguments: list[Any], compiled: bool = False) -> list[Any]:
    """The results of a function written with `names`: transformed by JAX, evaluated with NumPy, or compiled by XLA."""
    with jax.enable_x64(True):
        if compiled:
            return [np.asarray(x) for x in jax.tree.leaves(jax.jit(f)(*arguments))]
        closed = jax.make_jaxpr(f)(*arguments)
        with np.errstate(all="ignore"):
            return evaluate(closed.jaxpr, closed.consts, [np.asarray(x) for x in arguments])
