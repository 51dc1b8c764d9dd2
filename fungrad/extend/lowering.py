"""Loops for primitives of users, from NumPy code."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from fungrad.arguments import check_callable, function_name
from fungrad.errors import ArgumentError, ShapeError
from fungrad.ir.graph import Equation, Graph
from fungrad.ir.primitive import Primitive
from fungrad.ir.types import ArrayType
from fungrad.jit.lower_regions import inside
from fungrad.jit.lower_table import POINTWISE, REDUCTIONS, STAGES
from fungrad.passes import optimize
from fungrad.regions.derived import output_types
from fungrad.regions.inline import closes_over
from fungrad.trace import trace

if TYPE_CHECKING:
    from fungrad.jit.lower import Lowering

_OURS = POINTWISE.keys() | REDUCTIONS | STAGES.keys()


def lowering(family: type[Primitive]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that says how compiled code computes a family of primitives: as NumPy code.

    Without it, a primitive is a call back to its `evaluate`. Register before the first function that uses the
    primitive is compiled.

    Args:
        family: the class of the primitives.

    Returns:
        A decorator for `f(op, *operands)`, which returns the result of `op`, or a tuple of them. It may use whatever
        can be traced; its loops become part of the compiled program.

    >>> from dataclasses import dataclass
    >>> from fungrad import jit
    >>> from fungrad.extend import Primitive, bind, lowering
    >>> @dataclass(frozen=True)
    ... class Double(Primitive):
    ...     def infer(self, x):
    ...         return x
    ...     def evaluate(self, x):
    ...         return x + x
    >>> @lowering(Double)
    ... def double(op, x):
    ...     return 2.0 * x
    >>> jit(lambda x: bind(Double(), x))(np.array([1.0, 2.0]))
    array([2., 4.])
    """
    if not (isinstance(family, type) and issubclass(family, Primitive)):
        raise ArgumentError(f"lowering takes the class of a primitive, got {family!r}.")
    if family in _OURS:
        raise ArgumentError(f"lowering: {family.__name__} is a primitive of fungrad's own and has its loops.")

    def register(f: Callable[..., Any]) -> Callable[..., Any]:
        check_callable("lowering", f)
        STAGES[family] = partial(_inline, f)
        return f

    return register


def _inline(f: Callable[..., Any], state: Lowering, eqn: Equation) -> None:
    """Lower an equation as the graph of the function that says what it computes."""
    graph = _graph(f, eqn.op, tuple(x.type for x in eqn.inputs))
    operands = [state.buffer(x) for x in eqn.inputs]
    state.note(eqn)
    inside(state, graph, operands, [state.memory(var) for var in eqn.outputs], state.statements)


@lru_cache(maxsize=1024)
def _graph(f: Callable[..., Any], op: Primitive, types: tuple[ArrayType, ...]) -> Graph:
    def flat(*operands: Any) -> list[Any]:
        found = f(op, *operands)
        return list(found) if op.multiple else [found]

    what = f"lowering {function_name(f)}"
    graph, captures = trace(flat, types, purpose=what, name=op.name)
    if captures:
        raise ArgumentError(closes_over(what, captures[0]))
    inferred = op.infer(*types)
    expected, found = list(inferred) if op.multiple else [inferred], output_types(graph)
    if found != expected:
        raise ShapeError(f"{what} gives {found}, but {op.name} infers {expected} for operands {list(types)}.")
    return optimize(graph)
