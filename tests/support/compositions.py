"""Derivatives of first and second order, in every pairing of modes, of one function compared with those of another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import fungrad as fg
from fungrad import tree

Function = Callable[..., Any]


def _directions(args: Sequence[Any], seed: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)

    def like(x: Any) -> Any:
        return np.asarray(rng.normal(size=getattr(x, "shape", ())), getattr(x, "dtype", float))[()]

    return tuple(tree.map(like, args))


def _scalar(f: Function) -> Function:
    """The float results of `f`, each weighted, in one number."""

    def total(*args: Any) -> Any:
        parts = [x for x in tree.leaves(f(*args)) if getattr(x, "dtype", np.dtype(type(x))).kind == "f"]
        return sum(np.sum(np.cos(0.3 * i + 1.0) * np.sin(x) + x * x) for i, x in enumerate(parts))

    return total


def _along(f: Function, args: Sequence[Any], seed: int) -> Function:
    """The directional derivative of the scalar `f`."""
    direction = _directions(args, seed)
    return lambda *args: fg.jvp(f, args, direction)[1]


def _gradient(f: Function) -> Function:
    return lambda *args: fg.grad(f, tuple(range(len(args))))(*args)


def derivatives(f: Function, args: Sequence[Any], order: int = 2) -> dict[str, Function]:
    """The function and its derivatives, by name."""
    scalar = _scalar(f)
    found = {
        "f": f,
        "jvp": lambda *args: fg.jvp(f, args, _directions(args, 1)),
        "grad": _gradient(scalar),
    }
    if order >= 2:
        forward = _along(scalar, args, 2)
        squared = _scalar(_gradient(scalar))
        found |= {
            "grad of jvp": _gradient(forward),
            "jvp of jvp": _along(forward, args, 3),
            "grad of grad": _gradient(squared),
            "jvp of grad": _along(squared, args, 4),
        }
    return found


def check_same(f: Function, oracle: Function, args: Sequence[Any], order: int = 2, rtol: float = 1e-9) -> None:
    """Check that all derivatives of `f`, interpreted, compiled and batched, are those of `oracle`."""
    expected = derivatives(oracle, args, order)
    found = derivatives(f, args, order)
    for name, derived in found.items():
        wanted = expected[name](*args)
        _agree(derived(*args), wanted, name, rtol)
        _agree(fg.jit(derived)(*args), wanted, f"jit of {name}", rtol)
    _check_batches(found, expected, args, rtol)


def _check_batches(found: dict[str, Function], expected: dict[str, Function], args: Sequence[Any], rtol: float) -> None:
    """The same for several examples at once, against one after another."""
    examples = [tree.map(lambda x, t, i=i: x + 0.01 * i * t, args, _directions(args, 5)) for i in range(3)]
    batch = tree.map(lambda *xs: np.stack(xs), *examples)
    for name in ("f", "grad"):
        one_by_one = [expected[name](*example) for example in examples]
        wanted = tree.map(lambda *xs: np.stack(xs), *one_by_one)
        batched = fg.vmap(found[name])
        _agree(batched(*batch), wanted, f"vmap of {name}", rtol)
        _agree(fg.jit(batched)(*batch), wanted, f"jit of vmap of {name}", rtol)
    of_vmap = fg.grad(lambda batch: _scalar(lambda: fg.vmap(found["f"])(*batch))())(batch)
    of_loop = fg.grad(
        lambda batch: _scalar(
            lambda: tree.map(
                lambda *xs: np.stack(xs), *[expected["f"](*tree.map(lambda x, i=i: x[i], batch)) for i in range(3)]
            )
        )()
    )(batch)
    _agree(of_vmap, of_loop, "grad of vmap", rtol)


def _agree(found: Any, wanted: Any, name: str, rtol: float) -> None:
    assert tree.structure(found) == tree.structure(wanted), name
    for a, b in zip(tree.leaves(found), tree.leaves(wanted), strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype, name
        scale = np.max(np.abs(b), initial=1.0)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * scale, err_msg=name)
