"""Branches: `cond`, `switch`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fungrad import tree
from fungrad.arguments import as_leaf, check_callable, flatten_arguments, function_name
from fungrad.context import stepwise
from fungrad.errors import ArgumentError, TreeError
from fungrad.ir.types import INT, DType, type_of
from fungrad.lax.bodies import Body, Signature, trace_body, with_captures
from fungrad.lax.stepwise import finished, is_known
from fungrad.primitives.convert import convert
from fungrad.regions.switch import Switch
from fungrad.results import own
from fungrad.trace import Tracer, bind, concrete_value


def cond(pred: Any, true_fun: Callable[..., Any], false_fun: Callable[..., Any], *operands: Any) -> Any:
    """`true_fun(*operands) if pred else false_fun(*operands)`, for a `pred` that may be traced.

    Args:
        pred: one boolean or number.
        true_fun: a function of the operands; both are traced, the one that `pred` chooses is run.
        false_fun: the other; it returns the same structure, shapes and dtypes.
        operands: pytrees of arrays and numbers.

    Raises:
        TreeError: the branches return different structures, shapes or dtypes; the message shows both.

    >>> float(cond(2.0 > 1.0, np.sin, np.cos, 0.0))
    0.0
    """
    value, _ = as_leaf(pred, "cond: pred")
    if value.shape:
        raise ArgumentError(
            f"cond: pred must be one boolean, got {type_of(value)}. Reduce it with np.all or np.any, or choose by "
            "element with np.where."
        )
    index = convert(value != 0, INT)
    return _switch("cond", index, [false_fun, true_fun], operands)


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """`branches[index](*operands)`, for an `index` that may be traced.

    Args:
        index: one integer; it is clamped to the range of the branches.
        branches: functions of the operands that return the same structure, shapes and dtypes.
        operands: pytrees of arrays and numbers.

    Returns:
        What the chosen branch returns. All are traced, one is run.

    Raises:
        ArgumentError: the index is not one integer, or there is no branch.
        TreeError: the branches return different structures, shapes or dtypes; the message shows both.

    >>> float(switch(1, [np.sin, np.cos, np.exp], 0.0))
    1.0
    """
    value, _ = as_leaf(index, "switch: index")
    if value.shape or value.dtype.kind not in "iu":
        raise ArgumentError(f"switch: index must be one integer, got {type_of(value)}.")
    if not isinstance(branches, list | tuple) or not branches:
        raise ArgumentError(f"switch: branches must be a non-empty list of functions, got {branches!r}.")
    return _switch("switch", convert(np.minimum(np.maximum(value, 0), len(branches) - 1), INT), branches, operands)


def _switch(transform: str, index: Any, branches: Sequence[Callable[..., Any]], operands: tuple[Any, ...]) -> Any:
    for f in branches:
        check_callable(transform, f, "a branch")
    if stepwise() and is_known(index):
        return finished(branches[int(concrete_value(index) if type(index) is Tracer else index)](*operands))
    leaves = flatten_arguments(operands, lambda: [f"operand {i}" for i in range(len(operands))])
    signature = Signature(
        leaves.structure.children,
        [type_of(x) for x in leaves.values],
        leaves.weak,
        [f"operand{i}" for i in range(len(operands))],
    )
    bodies = [trace_body(transform, f, signature, branch=True) for f in branches]
    first = bodies[0]
    for f, body in zip(branches, bodies, strict=True):
        if body.structure != first.structure:
            raise TreeError(
                f"{transform}: the branches return different structures: {function_name(branches[0])} "
                f"{first.structure!r}, {function_name(f)} {body.structure!r}."
            )
    dtypes = _common_dtypes(bodies)
    if any(x.dtype != dtype for body in bodies for x, dtype in zip(body.types, dtypes, strict=True)):
        bodies = [
            trace_body(transform, f, signature, _weak_only(body, dtypes), True)
            for f, body in zip(branches, bodies, strict=True)
        ]
    for f, body in zip(branches, bodies, strict=True):
        wrong = [
            f"{path} is {a} in {function_name(branches[0])} and {b} in {function_name(f)}"
            for path, a, b in zip(tree.key_paths(first.structure, "result"), bodies[0].types, body.types, strict=True)
            if a != b
        ]
        if wrong:
            raise TreeError(
                f"{transform}: the branches must return the same shapes and dtypes, but {', '.join(wrong)}."
            )
    graphs, captures = with_captures(bodies)
    values = [*captures, *leaves.values]
    return tree.unflatten(first.structure, own(bind(Switch(tuple(graphs)), index, *values), values))


def _common_dtypes(bodies: Sequence[Body]) -> list[DType]:
    """For each result the dtype of the branches; Python numbers take that of the others."""
    dtypes = []
    for i in range(len(bodies[0].types)):
        every = [body.types[i].dtype for body in bodies]
        strong = [dtype for dtype, body in zip(every, bodies, strict=True) if not body.weak[i]]
        dtypes.append(np.result_type(*(strong[:1] or every)))
    return dtypes


def _weak_only(body: Body, dtypes: Sequence[DType]) -> list[DType | None]:
    """The dtypes for results that stand for Python numbers, if they hold those without loss."""
    return [
        dtype if weak and np.can_cast(t.dtype, dtype, "same_kind") else None
        for t, weak, dtype in zip(body.types, body.weak, dtypes, strict=True)
    ]
