"""Which loops a family of primitives becomes: the one table of the compiler.

`POINTWISE` families compute an element of their result from elements of their operands; the movements among them only
choose another index. `STAGES` families write their whole result with loops of their own. Everything else is a host
call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fungrad.ir.graph import Equation
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
from fungrad.jit.loops import Expr
from fungrad.jit.scope import Scope
from fungrad.primitives.contract import Dot
from fungrad.primitives.convert import Convert
from fungrad.primitives.elementwise import Elementwise
from fungrad.primitives.index import Gather, Scatter, ScatterAdd
from fungrad.primitives.random import Threefry
from fungrad.primitives.reduce import ArgReduce, CumSum, Reduce, Sum
from fungrad.primitives.shape import Broadcast, Concatenate, Flip, Pad, Reshape, Slice, Transpose
from fungrad.regions.adjoint import Adjoint
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
}

MOVEMENTS: frozenset[type] = frozenset({Broadcast, Transpose, Slice, Flip})

STAGES: dict[type, Callable[[Lowering, Equation], None]] = {
    Reshape: lower_shape.reshape,
    Pad: lower_shape.pad,
    Concatenate: lower_shape.concatenate,
    Sum: lower_reduce.reduce,
    Reduce: lower_reduce.reduce,
    ArgReduce: lower_reduce.arg_reduce,
    CumSum: lower_reduce.cumsum,
    Dot: lower_dot.dot,
    Gather: lower_index.gather,
    Scatter: lower_index.scatter,
    ScatterAdd: lower_index.scatter,
    Scan: lower_regions.scan,
    While: lower_regions.while_loop,
    Adjoint: lower_regions.adjoint,
    Switch: lower_regions.switch,
    Remat: lower_regions.inline,
    CustomJvp: lower_regions.inline,
    CustomVjp: lower_regions.inline,
}


def is_native(eqn: Equation) -> bool:
    """Whether the loops of an equation's family can compute this very equation."""
    first = eqn.inputs[0].type.dtype if eqn.inputs else BOOL
    match eqn.op:
        case Elementwise("pow" | "reciprocal"):
            return first.kind == "f"  # of integers, NumPy raises for negative exponents and warns about 1 / 0
        case Elementwise("nextafter"):
            return False  # the neighbour of a bound: rare, and of few numbers
        case Convert(dtype):
            return not (first.kind == "f" and dtype.kind == "u")  # out of range differs between machines
        case Dot():
            return first != BOOL
    return True
