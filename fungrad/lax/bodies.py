"""The functions that users give to loops and branches, traced and checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from fungrad import tree
from fungrad.arguments import Leaves, as_leaf, function_name
from fungrad.errors import ArgumentError, TreeError
from fungrad.ir.graph import Graph, Var
from fungrad.ir.printing import identifiers
from fungrad.ir.types import ArrayType, DType, type_of
from fungrad.lax.stepwise import other_structure, other_types
from fungrad.passes import optimize
from fungrad.primitives.convert import convert
from fungrad.trace import Tracer, trace


class Body(NamedTuple):
    """A traced function.

    - graph: (captures, arguments) -> results; as it was traced, not optimized.
    - captures: the outer tracers it closes over.
    - structure: of its result.
    - weak: which results stand for Python numbers.
    """

    graph: Graph
    captures: list[Any]
    structure: tree.TreeDef
    weak: list[bool]

    @property
    def types(self) -> list[ArrayType]:
        """The types of the results."""
        return [x.type for x in self.graph.outputs]


class Signature(NamedTuple):
    """The arguments a body is traced for.

    - structures: one for each argument.
    - types: of all their leaves.
    - weak: which leaves stand for Python numbers.
    - names: what errors and generated code call each argument.
    """

    structures: Sequence[tree.TreeDef]
    types: Sequence[ArrayType]
    weak: Sequence[bool]
    names: Sequence[str]


def trace_body(
    transform: str,
    f: Callable[..., Any],
    signature: Signature,
    dtypes: Sequence[DType | None] = (),
    branch: bool = False,
) -> Body:
    """Trace a user's function.

    Args:
        transform: what errors call the loop or branch.
        f: the function.
        signature: of its arguments.
        dtypes: what the first results are converted to; None for as they are.
        branch: whether what the function does to outer tracers alone is part of the body, as it has to be where the
            body may not run at all. From the body of a loop it is moved out.
    """
    structure = tree.LEAF
    weak: list[bool] = []

    def flat(*leaves: Any) -> list[Any]:
        nonlocal structure, weak
        rest = iter(leaves)
        arguments = [tree.unflatten(s, [next(rest) for _ in range(s.leaves)]) for s in signature.structures]
        results, structure = tree.flatten(f(*arguments))
        paths = tree.key_paths(structure, f"{transform}: the result")
        pairs = [as_leaf(x, f"{path} of {function_name(f)}") for x, path in zip(results, paths, strict=True)]
        weak = [flag for _, flag in pairs]
        wanted = [*dtypes, *[None] * len(pairs)]
        return [x if dtype is None else convert(x, dtype) for (x, _), dtype in zip(pairs, wanted, strict=False)]

    paths = [p for s, name in zip(signature.structures, signature.names, strict=True) for p in tree.key_paths(s, name)]
    graph, captures = trace(
        flat,
        signature.types,
        purpose=transform,
        name=identifiers([function_name(f)])[0],
        names=identifiers(paths),
        weak=signature.weak,
        whole=False,
        branch=branch,
    )
    return Body(graph, captures, structure, weak)


def trace_step(
    transform: str, f: Callable[..., Any], start: Leaves, others: Signature, carry_of: Callable[[tree.TreeDef], Any]
) -> tuple[Body, list[Any]]:
    """Trace the body of a loop, whose carry keeps its type.

    Where Python numbers meet arrays they take the arrays' dtype: a carry that starts with 0.0 becomes float32 if the
    body makes it so, and a body that returns 0 resets a carry of any dtype.

    Args:
        transform: what errors call the loop.
        f: the body; its first argument is the carry.
        start: the first carry.
        others: its other arguments.
        carry_of: the structure of the carry in that of the result, whose first leaves are the carry's.

    Returns:
        The body and the first carry with its final dtypes.
    """
    structure = start.structure.children[0]
    values, weak = list(start.values), list(start.weak)
    dtypes: list[DType | None] = [None] * len(values)
    while True:
        signature = Signature(
            [structure, *others.structures],
            [*map(type_of, values), *others.types],
            [*weak, *others.weak],
            ["carry", *others.names],
        )
        body = trace_body(transform, f, signature, dtypes)
        out = carry_of(body.structure)
        if out != structure:
            raise TreeError(other_structure(transform, f, structure, out))
        changed = False
        for i, (x, after) in enumerate(zip(values, body.types, strict=False)):
            if x.dtype == after.dtype or x.shape != after.shape:
                continue
            if weak[i]:
                values[i] = convert(x, np.result_type(x.dtype, after.dtype) if body.weak[i] else after.dtype)
                weak[i] = body.weak[i]
                changed = True
            elif body.weak[i] and _KINDS.index(after.dtype.kind) <= _KINDS.index(x.dtype.kind):
                dtypes[i] = x.dtype
                changed = True
        if not changed:
            break
    wrong = [
        f"{path} is {type_of(x)} and becomes {after}"
        for path, x, after in zip(tree.key_paths(structure, "carry"), values, body.types, strict=False)
        if type_of(x) != after
    ]
    if wrong:
        raise TreeError(other_types(transform, f, wrong))
    return body, values


_KINDS = "buif"  # of Python numbers and what takes them without loss, in order


def known_int(transform: str, name: str, x: Any) -> int | None:
    """A Python or NumPy integer as an int; None for a traced one."""
    value, _ = as_leaf(x, f"{transform}: {name}")
    if value.shape or value.dtype.kind not in "iu":
        raise ArgumentError(f"{transform}: {name} must be an integer, got {type_of(value)}.")
    return None if isinstance(value, Tracer) else int(value)


def with_captures(bodies: Sequence[Body]) -> tuple[list[Graph], list[Any]]:
    """The optimized graphs of bodies, each taking the captures of all of them, and these."""
    captures = [x for body in bodies for x in body.captures]
    graphs = []
    before = 0
    for body in bodies:
        graph, count = optimize(body.graph), len(body.captures)
        inputs = [Var(x.type) for x in captures]
        inputs[before : before + count] = graph.inputs[:count]
        names = [f"captured{i}" for i in range(len(captures))]
        graphs.append(
            replace(
                graph,
                inputs=(*inputs, *graph.inputs[count:]),
                input_names=(*names, *graph.input_names[count:]),
            )
        )
        before += count
    return graphs, captures
