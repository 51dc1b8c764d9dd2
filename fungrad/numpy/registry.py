"""The table of NumPy functions that accept tracers; `Tracer.__array_function__` looks them up here.

A function registered under NumPy's own function object is called with the arguments the user gave to NumPy, so its
parameters have NumPy's names and order. Parameters that it lacks may be passed with their default only; `out` never.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from fungrad.errors import UnsupportedError
from fungrad.trace import user_line

FUNCTIONS: dict[Any, Callable[..., Any]] = {}

INSTEAD = {
    "unique": "The shape of the result depends on values; compute it on plain arrays outside the traced function.",
    "histogram": "Counts have no derivative; compute them outside the traced function.",
    "nditer": "Write the loop as array operations.",
    "fromiter": "Use fungrad.numpy.array([...]).",
    "vectorize": "Write the function with NumPy operations on whole arrays.",
    "copyto": "Use x[...] = y, or fungrad.numpy.at(x)[mask].set(y).",
    "put": "Use fungrad.numpy.at(x)[i].set(v).",
    "putmask": "Use np.where(mask, values, x).",
    "place": "Use np.where(mask, values, x).",
    "put_along_axis": "Use fungrad.numpy.at(x)[i].set(v).",
    "fill_diagonal": "Use i = np.arange(n); fungrad.numpy.at(x)[i, i].set(v).",
}


def implements(*functions: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated function as the meaning of these NumPy functions on tracers."""

    def register(ours: Callable[..., Any]) -> Callable[..., Any]:
        for function in functions:
            FUNCTIONS[function] = ours
        return ours

    return register


def dispatch(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A NumPy function on arguments among which there are tracers.

    Raises:
        UnsupportedError: the function, or one of the options, cannot be traced.
    """
    ours = FUNCTIONS.get(function)
    if ours is None:
        raise unsupported(function)
    code: Any = ours.__code__
    if kwargs or len(args) > 1:
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        positional = dict(zip(names[: code.co_argcount], args, strict=False))
        if "out" in kwargs or "out" in positional:
            out = kwargs.get("out", positional.get("out"))
            kwargs = {name: value for name, value in kwargs.items() if name != "out"}
            if out is not None and out is not np._NoValue:
                raise UnsupportedError(
                    f"np.{function.__name__} cannot write into out= while tracing, at {user_line()}. Use the result: "
                    f"y = np.{function.__name__}(...)."
                )
        if not code.co_flags & inspect.CO_VARKEYWORDS:
            kwargs = {n: v for n, v in kwargs.items() if n in names or not _is_default(function, n, v)}
    return ours(*args, **kwargs)


def _is_default(function: Any, name: str, value: Any) -> bool:
    """Whether an option that we lack was given as its default; raises if it was not."""
    if value is None or value is np._NoValue:
        return True
    try:
        default = inspect.signature(function).parameters[name].default
        same = type(default) is type(value) and bool(default == value)
    except (ValueError, KeyError):
        same = False
    if not same:
        raise UnsupportedError(
            f"np.{function.__name__}: the option {name}={value!r} cannot be traced, at {user_line()}. Leave it out "
            "or write the computation with other functions."
        )
    return True


def unsupported(function: Any) -> UnsupportedError:
    """The error for a NumPy function that is not in the table."""
    name = getattr(function, "__name__", str(function))
    module = getattr(function, "__module__", "numpy") or "numpy"
    prefix = "np." if module == "numpy" else module.replace("numpy", "np", 1) + "."
    if module.startswith(("numpy.linalg", "numpy.fft")):
        return UnsupportedError(
            f"{prefix}{name} cannot be traced, at {user_line()}. Of np.linalg there are products, norms, solve, lstsq, "
            "inv, pinv, det, slogdet, cholesky, qr, svd and eigh, of np.fft nothing yet. If no derivative is needed, "
            "compute it on plain arrays outside the transformed function."
        )
    near = difflib.get_close_matches(name, sorted({f.__name__ for f in FUNCTIONS}), 3, 0.75)
    instead = INSTEAD.get(name) or (f"Near names that can: {', '.join(near)}." if near else "")
    return UnsupportedError(
        f"{prefix}{name} cannot be traced, at {user_line()}. {instead} If no derivative is needed, compute it on plain "
        "arrays outside the transformed function."
    )
