"""The libraries that are compared, each as the names that a problem is written with.

Problems are functions of a `Library`, so that every library runs the same lines. What fungrad's `jit` is told is
decided here for all benchmarks.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np


class Library(NamedTuple):
    """How a problem is written and run.

    Attributes:
        xp: NumPy's names.
        erf: the error function.
        scan: as `jax.lax.scan`.
        value_and_grad: with respect to the first argument.
        jit: compiles; the second argument is whether the first argument of the function is donated.
        arrays: a pytree of NumPy arrays as fresh arrays of the library.
        wait: until a result is there; None if it always is.
    """

    name: str
    xp: Any
    erf: Callable[[Any], Any]
    scan: Callable[..., Any]
    value_and_grad: Callable[..., Any]
    jit: Callable[..., Any]
    arrays: Callable[[Any], Any]
    wait: Callable[[Any], Any] | None


def ours() -> Library:
    """fungrad."""
    import fungrad as fg
    from fungrad.primitives.elementwise import erf

    can_donate = "donate_argnums" in inspect.signature(fg.jit).parameters

    def jit(f: Any, donate: bool = False) -> Any:
        return fg.jit(f, donate_argnums=0) if donate and can_donate else fg.jit(f)

    def arrays(values: Any) -> Any:
        return fg.tree.map(np.array, values)

    return Library("fungrad", np, erf, fg.lax.scan, fg.value_and_grad, jit, arrays, None)


def jax() -> Library:
    """JAX, which rounds to 32 bits only where the problem does."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)

    def jit(f: Any, donate: bool = False) -> Any:
        return jax.jit(f, donate_argnums=0 if donate else ())

    def arrays(values: Any) -> Any:
        return jax.tree.map(lambda x: jnp.array(x, copy=True), values)

    return Library(
        "JAX", jnp, jax.scipy.special.erf, jax.lax.scan, jax.value_and_grad, jit, arrays, jax.block_until_ready
    )


def has_torch() -> bool:
    """Whether PyTorch is installed and can be imported."""
    try:
        importlib.import_module("torch")
    except ImportError:
        return False
    return True


def torch() -> Library:
    """PyTorch without its compiler."""
    import torch

    from fungrad import tree

    def value_and_grad(f: Any) -> Any:
        def run(first: Any, *others: Any) -> Any:
            leaves, structure = tree.flatten(first)
            leaves = [x.detach().requires_grad_() for x in leaves]
            value = f(tree.unflatten(structure, leaves), *others)
            return value.detach(), tree.unflatten(structure, torch.autograd.grad(value, leaves))

        return run

    def scan(step: Any, carry: Any, xs: Any, length: int | None = None) -> Any:
        rows, structure = tree.flatten(xs)
        for i in range(len(rows[0]) if length is None else length):
            carry, _ = step(carry, tree.unflatten(structure, [x[i] for x in rows]))
        return carry, None

    names = {name: getattr(torch, name) for name in ("tanh", "sin", "exp", "log", "sqrt", "sum", "mean", "zeros_like")}
    xp = SimpleNamespace(
        **names,
        max=torch.amax,
        arange=torch.arange,
        logaddexp=lambda x, y: torch.logaddexp(torch.full_like(y, x), y),
        take_along_axis=torch.take_along_dim,
    )

    def arrays(values: Any) -> Any:
        return tree.map(lambda x: torch.from_numpy(np.array(x)), values)

    return Library("PyTorch", xp, torch.erf, scan, value_and_grad, lambda f, donate=False: f, arrays, None)
