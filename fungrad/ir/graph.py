"""A function as data: typed, in A-normal form, immutable.

    Graph    ::= inputs -> equations, outputs
    Equation ::= outputs = primitive inputs        (at `where`, the user's file and line)
    Operand  ::= Var | Const

Each Var is defined once, as a graph input or as an equation's output, before it is used. A constant is an operand:
there is no second kind of graph that closes over values. Constants that stand for many equal numbers are stored as
ndarrays with zero strides, so a filled array costs one element.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fungrad.ir.primitive import Primitive
from fungrad.ir.types import ArrayType, type_of


class Where(NamedTuple):
    """A place in the user's program."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


NOWHERE = Where("<unknown>", 0)


class Var:
    """A name for a value of known type. Two Vars are the same only if they are one object."""

    __slots__ = ("type",)

    def __init__(self, type: ArrayType) -> None:
        self.type = type

    def __repr__(self) -> str:
        return f"Var({self.type})"


class Const:
    """A value known when the graph was made: an ndarray or a NumPy scalar."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    @property
    def type(self) -> ArrayType:
        return type_of(self.value)

    @property
    def scalar(self) -> Any:
        """The one number this constant repeats, or None if its elements may differ."""
        value = self.value
        if value.ndim == 0:
            return value[()]
        if value.size and not any(s for s, n in zip(value.strides, value.shape, strict=True) if n > 1):
            return value[(0,) * value.ndim]
        return None

    def __repr__(self) -> str:
        return f"Const({self.value!r})"


Operand = Var | Const


@dataclass(frozen=True, slots=True, eq=False)
class Equation:
    """`outputs = op(inputs)`, recorded at `where`."""

    op: Primitive
    inputs: tuple[Operand, ...]
    outputs: tuple[Var, ...]
    where: Where = NOWHERE

    @property
    def output(self) -> Var:
        """The only output of a primitive that has one."""
        (out,) = self.outputs
        return out


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Graph:
    """A pure function of `inputs`, given by `equations` in order of evaluation."""

    inputs: tuple[Var, ...]
    equations: tuple[Equation, ...]
    outputs: tuple[Operand, ...]
    name: str = "f"
    input_names: tuple[str, ...] = ()

    def __str__(self) -> str:
        from fungrad.ir.printing import print_graph

        return print_graph(self)

    def __repr__(self) -> str:
        return f"<Graph {self.name}: {len(self.inputs)} inputs, {len(self.equations)} equations>"


def constant(value: Any) -> Const:
    """A `Const` of an array. If all its elements are one number, only that is kept (with zero strides)."""
    if value.size > 1 and value.ndim and any(value.strides):
        first = value[(0,) * value.ndim]
        if first == value[(-1,) * value.ndim] and not (value.view(f"u{value.itemsize}") != _bits(first)).any():
            value = np.ndarray(value.shape, value.dtype, np.array(first), 0, (0,) * value.ndim)
    return Const(value)


def _bits(scalar: Any) -> Any:
    """A number's bits as an unsigned integer: equal bits tell 0.0 from -0.0."""
    return scalar.view(f"u{scalar.itemsize}")
