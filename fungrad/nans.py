"""The search for the first nan: what `debug_nans` has interpreters, tapes and compiled functions call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fungrad.context import finding_nans
from fungrad.effects import without_effects
from fungrad.errors import NanError
from fungrad.evaluate import evaluate
from fungrad.ir.graph import Graph
from fungrad.ir.primitive import Primitive
from fungrad.ir.types import type_of
from fungrad.trace import user_line

_HINT = (
    "If np.where drops this value, its derivative is computed all the same, and 0 * inf is nan. Give the operation a "
    "safe operand, as in np.log(np.where(x > 0, x, 1.0))."
)


def check_nans(op: Primitive, inputs: Sequence[Any], results: Any, derivative: bool = False) -> None:
    """Raise NanError if a result of an operation, or of its derivative rule, has a nan.

    Args:
        op: the operation.
        inputs: its operands, and for a derivative the tangents or cotangents that the rule was given.
        results: arrays, tracers, or nested tuples of them; tracers are looked at one level further out.
        derivative: whether it is the rule that gave them.
    """
    for x in _arrays(results):
        if has_nan(x):
            raise _error(op, list(_arrays(inputs)), x, derivative)


def check_program(graph: Graph, inputs: Sequence[Any], results: Sequence[Any]) -> None:
    """If compiled code gave a nan while `debug_nans` is on, run the graph as NumPy code to find where it comes from."""
    if not finding_nans() or not any(map(has_nan, results)):
        return
    with np.errstate(all="ignore"):
        evaluate(without_effects(graph), *inputs)
    raise NanError(
        f"nan came out of the compiled function {graph.name}, but no operation of it gives one with NumPy: it was "
        "given the nan, or rounding differs."
    )


def has_nan(x: Any) -> bool:
    """Whether an array of floats has a nan."""
    return bool(x.dtype.kind == "f" and np.isnan(x).any())


def _arrays(values: Any) -> Iterator[Any]:
    if isinstance(values, np.ndarray | np.generic):
        yield values
    elif isinstance(values, tuple | list):
        for x in values:
            yield from _arrays(x)


def _error(op: Primitive, inputs: Sequence[Any], result: Any, derivative: bool) -> NanError:
    where = tuple(int(i) for i in np.argwhere(np.isnan(result))[0])
    place = f", first at index {where}" if where else ""
    shown = [str(x[where]) if x.shape == result.shape else str(x) if not x.shape else str(type_of(x)) for x in inputs]
    given = f", from {' and '.join(shown)}" if shown else ""
    origin = f"the derivative of {op.name}" if derivative else op.name
    message = f"nan came out of {origin} at {user_line()}{place}{given}."
    return NanError(f"{message} It was given a nan." if any(map(has_nan, inputs)) else f"{message} {_HINT}")
