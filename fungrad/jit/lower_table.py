"""Which loops a family of primitives becomes: the one table of the compiler.

`POINTWISE` families compute an element of their result from elements of their operands; the movements among them only
choose another index. `REDUCTIONS` accumulate over some axes. Both share loops with each other. `STAGES` families write
their whole result with loops of their own. Everything else is a host call. A reshape is another view of memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from fungrad.ir.graph import Equation, Var
from fungrad.ir.types import BOOL
from fungrad.jit import (
    lower_dot,
    lower_index,
    lower_pointwise,
    lower_random,
    lower_reduce,
    lower_regions,
    lower_shape,
)
from fungrad.jit.checked_index import Pick, Positions, Put
from fungrad.jit.loops import Expr
from fungrad.jit.product_sum import ProductSum
from fungrad.jit.scope import Scope
from fungrad.primitives.contract import Dot
from fungrad.primitives.convert import Convert
from fungrad.primitives.elementwise import Elementwise
from fungrad.primitives.index import Scatter, ScatterAdd
from fungrad.primitives.random import Threefry
from fungrad.primitives.reduce import ArgReduce, CumSum, Reduce, Sum
from fungrad.primitives.shape import Broadcast, Concatenate, Flip, Pad, Reshape, Slice, Transpose
from fungrad.regions.adjoint import Adjoint
from fungrad.regions.each import Each
from fungrad.regions.inline import CustomJvp, CustomVjp, Remat
from fungrad.regions.scan import Scan
from fungrad.regions.switch import Switch
from fungrad.regions.while_loop import While

if TYPE_CHECKING:
    from fungrad.jit.lower import Lowering

POINTWISE: dict[type, Callable[[Lowering, Equation, tuple[Expr, ...], Scope], Expr]] = {
    Elementwise: lower_pointwise.elementwise,
    Convert: lower_pointwise.convert,
    Broadcast: lower_pointwise.broadcast,
    Transpose: lower_pointwise.transpose,
    Slice: lower_pointwise.slice,
    Flip: lower_pointwise.flip,
    Threefry: lower_random.threefry,
    Reshape: lower_pointwise.reshape,  # where only axes of extent 1 come and go
    Pad: lower_pointwise.pad,  # around, not between
    Pick: lower_index.pick,
    Put: lower_index.put,
}

MOVEMENTS: frozenset[type] = frozenset({Broadcast, Transpose, Slice, Flip, Reshape, Pad})

REDUCTIONS: frozenset[type] = frozenset({Sum, Reduce})

STAGES: dict[type, Callable[[Lowering, Equation], None]] = {
    Pad: lower_shape.pad,  # between the elements too
    Concatenate: lower_shape.concatenate,
    ArgReduce: lower_reduce.arg_reduce,
    CumSum: lower_reduce.cumsum,
    Dot: lower_dot.dot,
    ProductSum: lower_dot.product_sum,
    Positions: lower_index.positions,
    Scatter: lower_index.scatter,
    ScatterAdd: lower_index.scatter,
    Scan: lower_regions.scan,
    Each: lower_regions.each,
    While: lower_regions.while_loop,
    Adjoint: lower_regions.adjoint,
    Switch: lower_regions.switch,
    Remat: lower_regions.inline,
    CustomJvp: lower_regions.inline,
    CustomVjp: lower_regions.inline,
}

READ_BY_ELEMENT: frozenset[type] = frozenset({Pad, Concatenate, ArgReduce, CumSum, Scatter, ScatterAdd, Scan, Each})
"""Stages that read their operands element by element, or store those themselves which they need in memory."""


def is_native(eqn: Equation) -> bool:
    """Whether the loops of an equation's family can compute this very equation."""
    return not obstacle(eqn)


def obstacle(eqn: Equation) -> str:
    """Why they cannot; empty if they can."""
    first = eqn.inputs[0].type.dtype if eqn.inputs else BOOL
    match eqn.op:
        case Elementwise("pow" | "reciprocal") if first.kind != "f":
            return "of integers, NumPy raises for negative exponents and warns about 1 / 0"
        case Elementwise("nextafter"):
            return "the neighbour of a bound is rare, and of few numbers"
        case Convert(dtype) if first.kind == "f" and dtype.kind == "u":
            return "what is out of range differs between machines"
        case Dot() if first == BOOL:
            return "a product of booleans is no sum of products"
    return ""


def is_view(eqn: Equation) -> bool:
    """Whether the result is the memory of the operand under another shape."""
    return isinstance(eqn.op, Reshape) and not _only_units_differ(eqn)


def is_pointwise(eqn: Equation) -> bool:
    """Whether an element of the result is computed from elements of the operands."""
    if isinstance(eqn.op, Reshape):
        return _only_units_differ(eqn)
    if isinstance(eqn.op, Pad) and (any(eqn.op.between) or not eqn.inputs[0].type.size):
        return False
    return type(eqn.op) in POINTWISE and is_native(eqn)


def is_reduction(eqn: Equation) -> bool:
    """Whether the equation accumulates over axes of an operand that has elements."""
    return type(eqn.op) in REDUCTIONS and eqn.inputs[0].type.size > 0


def _only_units_differ(eqn: Equation) -> bool:
    """Whether a reshape only adds and removes axes of extent 1."""
    before, after = eqn.inputs[0].type.shape, eqn.output.type.shape
    return [n for n in before if n != 1] == [n for n in after if n != 1]


def operands_in_memory(eqn: Equation, needed: set[Var]) -> Iterator[Var]:
    """The operands that must be in memory, given which results must."""
    operands = eqn.inputs
    if isinstance(eqn.op, Reshape):
        operands = operands if is_view(eqn) or eqn.output in needed else ()
    elif isinstance(eqn.op, Pick):
        operands = operands[1:]
    elif is_native(eqn) and type(eqn.op) in POINTWISE.keys() | REDUCTIONS | READ_BY_ELEMENT:
        operands = ()
    elif isinstance(eqn.op, ProductSum):
        operands = operands[:3]
    return (x for x in operands if isinstance(x, Var))
